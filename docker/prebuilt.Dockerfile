# The image of Dockerfile with an existing binary, built for this Debian or an older one. The
# builder must see this machine's images, like Docker's own:
#   docker build -f docker/Dockerfile --target base --build-arg COMMIT="$(git rev-parse --short=10 HEAD)" -t regionmesh-base .
#   docker build -f docker/prebuilt.Dockerfile --build-arg BINARY=target/release/regionmesh -t regionmesh .
ARG BASE=regionmesh-base
# hadolint ignore=DL3006
FROM ${BASE}
ARG BINARY=target/release/regionmesh
COPY ${BINARY} /usr/local/bin/regionmesh
