#!/bin/sh
# Makes the certificates of this test: an authority, a server's certificate that it has signed, and another authority. Their keys but the server's are
# not kept. They end in 2126.
set -eu
cd "$(dirname "$0")"
keys=$(mktemp -d)
trap 'rm -rf "$keys"' EXIT
for name in authority other; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 -subj "/CN=gradus test $name" \
        -addext basicConstraints=critical,CA:TRUE -keyout "$keys/$name.key" -out "$name.pem"
done
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" -keyout server.key -out "$keys/server.csr"
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >"$keys/server.ext"
openssl x509 -req -in "$keys/server.csr" -CA authority.pem -CAkey "$keys/authority.key" -CAserial "$keys/serial" -CAcreateserial -days 36500 -extfile "$keys/server.ext" -out server.pem
