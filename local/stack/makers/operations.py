"""Makers of what starts things and what watches them: rules, schedules, log groups, alarms, dashboards."""

from __future__ import annotations

from local.stack.stack import Made, Properties, Stack, known_arguments
from local.stack.template import Resource


def rule(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::Events::Rule with its targets."""
    events = stack.client("events")
    name = stack.name(resource, "Name", properties, 64)
    arguments = known_arguments(events, "put_rule", {**properties, "Name": name})
    arn = events.put_rule(**arguments)["RuleArn"]
    targets = known_arguments(events, "put_targets", {"Targets": properties.get("Targets", [])})["Targets"]
    if targets:
        events.put_targets(Rule=name, Targets=targets)
    return Made(name, {"Arn": arn})


def schedule(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::Scheduler::Schedule."""
    scheduler = stack.client("scheduler")
    name = stack.name(resource, "Name", properties, 64)
    arguments = known_arguments(scheduler, "create_schedule", {**properties, "Name": name})
    return Made(name, {"Arn": scheduler.create_schedule(**arguments)["ScheduleArn"]})


def log_group(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::Logs::LogGroup."""
    logs = stack.client("logs")
    name = stack.name(resource, "LogGroupName", properties)
    logs.create_log_group(logGroupName=name)
    if "RetentionInDays" in properties:
        logs.put_retention_policy(logGroupName=name, retentionInDays=int(properties["RetentionInDays"]))
    arn = f"arn:aws:logs:{stack.account.region}:{stack.account.account_id}:log-group:{name}:*"
    return Made(name, {"Arn": arn})


def alarm(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::CloudWatch::Alarm; it is there to be read, and does not fire."""
    cloudwatch = stack.client("cloudwatch")
    name = stack.name(resource, "AlarmName", properties)
    arguments = known_arguments(cloudwatch, "put_metric_alarm", {**properties, "AlarmName": name})
    cloudwatch.put_metric_alarm(**arguments)
    arn = f"arn:aws:cloudwatch:{stack.account.region}:{stack.account.account_id}:alarm:{name}"
    return Made(name, {"Arn": arn})


def dashboard(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::CloudWatch::Dashboard."""
    name = stack.name(resource, "DashboardName", properties)
    stack.client("cloudwatch").put_dashboard(DashboardName=name, DashboardBody=properties["DashboardBody"])
    return Made(name)
