# The worker of docker-compose.yml: amqptasks, and the examples as the app's folder.
FROM python:3.13-slim

WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY amqptasks ./amqptasks
RUN pip install --no-cache-dir .

RUN useradd --create-home worker
USER worker
WORKDIR /app
COPY examples ./

ENTRYPOINT ["amqptasks"]
CMD ["--help"]
