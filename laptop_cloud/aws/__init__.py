"""AWS on this machine: moto, its repairs, and what runs functions, jobs and REST APIs for it."""

from laptop_cloud.aws import lighter

lighter.apply()
