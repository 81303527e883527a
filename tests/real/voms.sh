#!/bin/sh
# A small grid on this machine: an authority with a list of what it has revoked, people, a VOMS server's certificate, and
# the tools that make proxies (voms-proxy-fake, which signs attributes as that server would).
#
#   tests/real/voms.sh start          makes what is missing
#   tests/real/voms.sh revoke NAME    has the authority revoke NAME's certificate
#   tests/real/voms.sh stop           nothing runs: there is nothing to end
#
# All is in VOMS_PLACE (/var/tmp/pilotage-testbeds/voms): certificates, vomsdir, NAME.pem and NAME.key. Says in its last
# line what it lacks, and exits 1.
set -eu

here=$(cd "$(dirname "$0")" && pwd -P)
# shellcheck source=tests/real/common.sh
. "$here/common.sh"
place=${VOMS_PLACE:-/var/tmp/pilotage-testbeds/voms}
ca=$place/authority

make_authority() {
    mkdir -p "$ca/issued" "$place/certificates"
    : >"$ca/index.txt"
    echo 01 >"$ca/number"
    cat >"$ca/ca.cnf" <<END
[ca]
default_ca = grid
[grid]
database = $ca/index.txt
new_certs_dir = $ca/issued
rand_serial = yes
crlnumber = $ca/number
certificate = $ca/ca.pem
private_key = $ca/ca.key
default_md = sha256
default_days = 20
default_crl_days = 20
policy = any
x509_extensions = owner
unique_subject = no
[any]
domainComponent = supplied
organizationalUnitName = supplied
commonName = supplied
[owner]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature,keyEncipherment
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
END
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj '/DC=org/DC=example/CN=Grid authority' \
        -keyout "$ca/ca.key" -out "$ca/ca.pem" -addext basicConstraints=critical,CA:TRUE \
        -addext keyUsage=critical,keyCertSign,cRLSign || return 1
    hash=$(openssl x509 -in "$ca/ca.pem" -noout -hash)
    cp "$ca/ca.pem" "$place/certificates/$hash.0"
    list_revoked
}

list_revoked() {
    hash=$(openssl x509 -in "$ca/ca.pem" -noout -hash)
    openssl ca -config "$ca/ca.cnf" -gencrl -out "$ca/list" && mv "$ca/list" "$place/certificates/$hash.r0"
}

certify_owner() { # NAME OU COMMON
    openssl req -newkey rsa:2048 -nodes -subj "/DC=org/DC=example/OU=$2/CN=$3" -keyout "$place/$1.key" -out "$ca/$1.csr" &&
        openssl ca -batch -notext -preserveDN -config "$ca/ca.cnf" -in "$ca/$1.csr" -out "$place/$1.pem" &&
        chmod 600 "$place/$1.key"
}

make_grid() {
    rm -rf "$place"
    mkdir -p "$place/vomsdir/physics"
    make_authority && certify_owner ada people 'Ada Lovelace' && certify_owner ben people Ben &&
        certify_owner sue people Sue && certify_owner voms hosts voms.example.org || return 1
    cat >"$place/vomsdir/physics/voms.example.org.lsc" <<END
/DC=org/DC=example/OU=hosts/CN=voms.example.org
/DC=org/DC=example/CN=Grid authority
END
}

start() {
    install_packages "the tools of VOMS" voms-clients openssl
    make_grid >/dev/null 2>&1 || lacks "an openssl that makes certificates"
    echo "an authority, people and a VOMS server in $place"
}

revoke() { # NAME
    openssl ca -config "$ca/ca.cnf" -revoke "$place/$1.pem" && list_revoked
}

case ${1:-} in
    start) start ;;
    revoke) revoke "${2:?}" ;;
    stop) ;;
    *) usage ;;
esac
