# Untested: see docs/containers.md. A wheel is built of this folder, then installed alone.
FROM python:3.11-slim AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim
# pip reads PIP_EXTRA_INDEX_URL: an index of builds of torch for the CPU alone, which are smaller, can be given by --build-arg
ARG PIP_EXTRA_INDEX_URL
COPY constraints.txt /tmp/constraints.txt
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --constraint /tmp/constraints.txt /wheels/*.whl \
    && rm -r /wheels /tmp/constraints.txt \
    && useradd --create-home featurekit
USER featurekit
WORKDIR /home/featurekit/work
ENTRYPOINT ["featurekit"]
CMD ["doctor"]
