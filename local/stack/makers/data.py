"""Makers of what holds data: buckets, queues, tables, secrets, keys, topics."""

from __future__ import annotations

import json

from local.stack.stack import Made, Properties, Stack, known_arguments
from local.stack.template import Resource


def bucket(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::S3::Bucket."""
    s3 = stack.client("s3")
    name = stack.name(resource, "BucketName", properties).lower()
    s3.create_bucket(Bucket=name)
    if "VersioningConfiguration" in properties:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=properties["VersioningConfiguration"])
    if "NotificationConfiguration" in properties:
        notifications = _notifications(properties["NotificationConfiguration"])
        s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=notifications)
    domain = f"{name}.s3.amazonaws.com"
    return Made(name, {"Arn": f"arn:aws:s3:::{name}", "DomainName": domain, "RegionalDomainName": domain})


def _notifications(configuration: Properties) -> Properties:
    """CloudFormation's NotificationConfiguration, of queues and EventBridge, as the API has it."""
    queues = []
    for entry in configuration.get("QueueConfigurations", []):
        rules = entry.get("Filter", {}).get("S3Key", {}).get("Rules", [])
        given = {"Filter": {"Key": {"FilterRules": rules}}} if rules else {}
        queues.append({"QueueArn": entry["Queue"], "Events": [entry["Event"]], **given})
    return {"QueueConfigurations": queues, **{bus: {} for bus in configuration if bus == "EventBridgeConfiguration"}}


def queue(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::SQS::Queue."""
    sqs = stack.client("sqs")
    name = stack.name(resource, "QueueName", properties, 75)
    if properties.get("FifoQueue") and not name.endswith(".fifo"):
        name += ".fifo"
    others = ("QueueName", "RedriveAllowPolicy", "Tags")
    attributes = {key: value for key, value in properties.items() if key not in others}
    arguments = known_arguments(sqs, "create_queue", {"QueueName": name, "Attributes": attributes})
    url = sqs.create_queue(**arguments)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return Made(url, {"Arn": arn, "QueueName": name, "QueueUrl": url})


def table(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::DynamoDB::Table, with its secondary indexes and time to live."""
    dynamodb = stack.client("dynamodb")
    name = stack.name(resource, "TableName", properties)
    # Deletion protection would only get in the way of a cloud that forgets everything when it stops.
    wanted = {key: value for key, value in properties.items() if key != "DeletionProtectionEnabled"}
    wanted.pop("SSESpecification", None)
    arguments = known_arguments(dynamodb, "create_table", {**wanted, "TableName": name})
    if "StreamSpecification" in arguments:
        arguments["StreamSpecification"]["StreamEnabled"] = True
    made = dynamodb.create_table(**arguments)["TableDescription"]
    if "TimeToLiveSpecification" in properties:
        dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=properties["TimeToLiveSpecification"])
    attributes = {"Arn": made["TableArn"]}
    if "LatestStreamArn" in made:
        attributes["StreamArn"] = made["LatestStreamArn"]
    return Made(name, attributes)


def secret(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::SecretsManager::Secret, given or generated."""
    manager = stack.client("secretsmanager")
    name = stack.name(resource, "Name", properties)
    value = properties.get("SecretString")
    if value is None:
        value = _generated(stack, properties.get("GenerateSecretString", {}))
    arn = manager.create_secret(Name=name, SecretString=value)["ARN"]
    return Made(arn, {"Id": arn})


def _generated(stack: Stack, rules: Properties) -> str:
    """As CloudFormation's GenerateSecretString: a password, alone or as one key of a JSON template."""
    manager = stack.client("secretsmanager")
    password = str(
        manager.get_random_password(**known_arguments(manager, "get_random_password", rules))["RandomPassword"]
    )
    if "GenerateStringKey" not in rules:
        return password
    return json.dumps({**json.loads(rules.get("SecretStringTemplate", "{}")), rules["GenerateStringKey"]: password})


def key(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::KMS::Key."""
    made = stack.client("kms").create_key(Description=properties.get("Description", ""))["KeyMetadata"]
    return Made(made["KeyId"], {"Arn": made["Arn"], "KeyId": made["KeyId"]})


def key_alias(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::KMS::Alias."""
    kms = stack.client("kms")
    kms.create_alias(**known_arguments(kms, "create_alias", properties))
    return Made(properties["AliasName"])


def topic(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::SNS::Topic."""
    name = stack.name(resource, "TopicName", properties)
    arn = stack.client("sns").create_topic(Name=name)["TopicArn"]
    return Made(arn, {"TopicArn": arn, "TopicName": name})
