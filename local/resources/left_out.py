"""Resource types that the laptop cloud knowingly does not make, each with the reason."""

from __future__ import annotations

LEFT_OUT: dict[str, str] = {
    "AWS::ApiGateway::Account": "sets the account's role for API Gateway's own logs, of which there are none here",
    "AWS::CloudFormation::WaitConditionHandle": "does nothing",
    "AWS::Glue::SecurityConfiguration": "encryption with KMS is not played here",
    "AWS::Lambda::Permission": "says which services may invoke a function; access control is not played here",
    "AWS::Logs::QueryDefinition": "saved searches of CloudWatch's console, which is not here",
    "AWS::Logs::ResourcePolicy": "access control is not played here",
    "AWS::S3::BucketPolicy": "access control is not played here",
    "AWS::SNS::Subscription": "alarms do not fire here, so nobody is told",
    "AWS::SNS::TopicPolicy": "access control is not played here",
    "AWS::SQS::QueuePolicy": "access control is not played here",
    "AWS::SecretsManager::ResourcePolicy": "access control is not played here",
}
