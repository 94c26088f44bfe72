"""AWS services in this process: moto, repairs of moto, and runners for functions, jobs and REST APIs."""

from laptop_cloud.aws import lighter

lighter.apply()
