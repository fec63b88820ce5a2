#!/bin/sh
# Makes the secrets of a cluster in a folder, each once: setup.sh [FOLDER]
# What is there stays, so it may run at every start. To have one made anew, remove its file and run it again.
# Each reader has a file of its own, and is the only one who can read it.
set -eu
umask 077

folder=${1:-/secrets}
volley=10050      # the users of the images, in docker-compose.yml and Dockerfile
store=1000
prometheus=65534
grafana=472
root=0

mkdir -p "$folder"
chmod 755 "$folder"
cd "$folder"

# put FILE OWNER: what comes in becomes the file, whole or not at all.
put() {
    cat > ".$1.new"
    chown "$2:$2" ".$1.new"
    chmod 400 ".$1.new"
    mv -f ".$1.new" "$1"
}

# once FILE OWNER BYTES: random digits, unless the file is there.
once() {
    if [ ! -s "$1" ]; then
        digits=$(openssl rand -hex "$3")
        echo "$digits" | put "$1" "$2"
    fi
}

once users.token "$volley" 32
once cluster.token "$volley" 32
once s3.id "$volley" 10
once s3.key "$volley" 20
once grafana.password "$grafana" 12

# The certificate is its own authority: who trusts it trusts this server and nobody else.
if [ ! -s server.key ] || [ ! -s server.pem ]; then
    cat > .server.conf <<'CONF'
[req]
prompt = no
distinguished_name = name
x509_extensions = server
[name]
CN = volley
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:server, DNS:localhost, IP:127.0.0.1
CONF
    openssl req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 825 \
        -config .server.conf -keyout .server.key -out .server.pem 2> /dev/null
    put server.key "$volley" < .server.key
    put server.pem "$volley" < .server.pem
    chmod 444 server.pem
    rm -f .server.conf .server.key .server.pem
fi

# The same secrets in the words of the others; written each time, so that they agree.
id=$(cat s3.id)
key=$(cat s3.key)
put prometheus.token "$prometheus" < users.token
put aws.credentials "$root" <<AWS
[default]
aws_access_key_id = $id
aws_secret_access_key = $key
AWS
put store.json "$store" <<STORE
{
  "identities": [
    {
      "name": "volley",
      "credentials": [{ "accessKey": "$id", "secretKey": "$key" }],
      "actions": ["Admin", "Read", "List", "Tagging", "Write"]
    }
  ]
}
STORE
echo "the secrets are in $folder"
