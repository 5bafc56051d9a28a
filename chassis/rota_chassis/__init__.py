"""The microservice chassis: what every Rota service shares, so that a service is one call to `service.run`."""
