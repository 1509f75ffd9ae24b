#!/bin/sh
# docker/entrypoint.sh [render | check | COMMAND...]
#
# Writes nginx's configuration from the environment, or takes one that is
# mounted at CONFIG as it is, and runs nginx until a signal.  SIGTERM, SIGINT
# and SIGQUIT finish the requests in flight, SIGHUP reloads, SIGUSR1 reopens
# log files.  "render" prints the configuration, "check" tests it, and any
# other command is run in place of nginx.
#
# BACKENDS is required, the rest has defaults; docs/operations.md lists all.

set -euf

: "${CONFIG:=/etc/gateway/nginx.conf}" "${RUN_DIR:=/run/gateway}"
: "${SHARE:=/usr/share/nginx-gateway}" "${NGINX_BIN:=/usr/sbin/nginx}"

: "${MODULES:=/usr/lib/nginx/modules}"

: "${LISTEN_PORT:=8080}" "${BACKENDS:=}" "${LB_METHOD:=round_robin}"
: "${RATE:=10r/s}" "${CAPACITY:=100}" "${ZONE_SIZE:=16m}"
: "${CLIENT_KEY_HEADER:=X-API-Key}" "${REAL_IP_FROM:=}"
: "${STORE_URL:=}" "${STORE_PASSWORD_FILE:=}" "${NODE_NAME:=}"
: "${STORE_SHARDS:=}" "${STORE_TLS_CA:=}"
: "${SCOPE:=node}" "${LB_STATE:=}"
: "${HEALTH_URI:=}" "${HEALTH_INTERVAL:=5s}"
: "${ADMIN_LISTEN:=127.0.0.1:8081}" "${ADMIN_HOSTS:=}"
: "${ADMIN_ALLOW:=127.0.0.0/8 ::1}"
: "${MAX_BODY:=1m}" "${WORKERS:=auto}" "${CONNECTIONS:=4096}"
: "${SHUTDOWN_TIMEOUT:=30s}" "${LOG_LEVEL:=notice}"

newline='
'

die()
{
    echo "entrypoint: $*" >&2
    exit 1
}

# Values end up in a configuration file: each has to look exactly like what
# it is, so that none can hold a directive.

matches()
{
    case $1 in
        *"$newline"*) return 1 ;;
    esac
    printf '%s\n' "$1" | LC_ALL=C grep -Eqx -e "$2"
}

# must_match NAME VALUE PATTERN DESCRIPTION

must_match()
{
    matches "$2" "$3" || die "$1 is \"$2\", it must be $4"
}

# must_be_within NAME VALUE LOWEST HIGHEST

must_be_within()
{
    if ! matches "$2" '0*[0-9]{1,9}' || [ "$2" -lt "$3" ] || [ "$2" -gt "$4" ]
    then
        die "$1 is \"$2\", it must be a number from $3 to $4"
    fi
}

size='[0-9]{1,9}[kKmM]?'
time='[0-9]{1,6}(ms|s|m|h)?'
name='[A-Za-z0-9]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9])?'
host="($name|\[[0-9A-Fa-f:.]{2,45}\])"
cidr='([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)(/[0-9]{1,3})?'

check_rate()
{
    must_match RATE "$1" '[0-9]{1,11}(\.[0-9]{1,6})?r/[smhd]' \
        'like 10r/s, 90r/m, 1000r/h or 100r/d'

    # from 1r/d to 1000000r/s

    echo "$1" | awk -F'r/' '
        { unit["s"] = 86400; unit["m"] = 1440; unit["h"] = 24; unit["d"] = 1
          day = $1 * unit[$2]
          exit day < 1 || day > 86400000000 }' \
        || die "RATE is \"$1\", it must be from 1r/d to 1000000r/s"
}

check_method()
{
    case $1 in
        hash\ *)
            # shellcheck disable=SC2016  # a variable of nginx
            must_match LB_METHOD "$1" 'hash (\$[a-z][a-z0-9_]{0,99})+' \
                'hash and variables, like hash $remote_addr' ;;
        round_robin | least_conn | random | p2c | least_time) ;;
        *)  die "LB_METHOD is \"$1\", it must be round_robin, least_conn," \
                "random, p2c, least_time or hash KEY" ;;
    esac
}

check_store()
{
    case $1 in
        '') ;;
        sqlite:/*)
            must_match STORE_URL "$1" 'sqlite:/[A-Za-z0-9_./-]+' \
                'sqlite: and the absolute path of a file' ;;
        redis://* | redis+unix:/* | redis+sentinel://* | redis+cluster://* \
        | rediss://* | rediss+sentinel://* | rediss+cluster://*)

            # a password is not shown

            matches "$1" "[a-z+]+:[A-Za-z0-9_.~:/?@=,+%&!*()[-]+(\][A-Za-z0-9_.~:/?@=,+%&!*()-]*)?" \
                || die "STORE_URL has a character that cannot be in a URL;" \
                       "write it as %XX" ;;
        *)  die "STORE_URL must begin with sqlite:/, redis://, redis+unix:/," \
                "redis+sentinel://, redis+cluster:// or the same with rediss" ;;
    esac
}

check_admin()
{
    [ "$1" != off ] || return 0

    must_match ADMIN_LISTEN "$1" "$host:[0-9]{1,5}" \
        'address:port, like 127.0.0.1:8081, or off'
    must_be_within "the port of ADMIN_LISTEN" "${1##*:}" 1 65535

    if [ "${1##*:}" -eq "$LISTEN_PORT" ]; then
        die "ADMIN_LISTEN has the port of LISTEN_PORT, $LISTEN_PORT"
    fi
}

# Sets server_lines to what BACKENDS stands for.

check_backends()
{
    server_lines=

    case $BACKENDS in
        *"$newline"*) die "BACKENDS must be one line" ;;
    esac

    for backend in $BACKENDS; do
        address=${backend%%,*}
        parameters=

        must_match 'a word of BACKENDS' "$address" "$host:[0-9]{1,5}" \
            'host:port[,weight=N]'
        must_be_within "the port of $address in BACKENDS" \
            "${address##*:}" 1 65535

        rest=${backend#"$address"}
        while [ -n "$rest" ]; do
            rest=${rest#,}
            parameter=${rest%%,*}
            rest=${rest#"$parameter"}
            case $parameter in
                backup | down) ;;
                weight=* | max_fails=* | max_conns=*)
                    least=0
                    [ "${parameter%%=*}" != weight ] || least=1
                    must_be_within "${parameter%%=*} of $address in BACKENDS" \
                        "${parameter#*=}" "$least" 65535 ;;
                fail_timeout=*)
                    must_match "fail_timeout of $address in BACKENDS" \
                        "${parameter#*=}" "$time" 'a time, like 10s' ;;
                *)  die "\"$parameter\" of $address in BACKENDS must be" \
                        "weight=N, max_fails=N, fail_timeout=TIME," \
                        "max_conns=N, backup or down" ;;
            esac
            parameters="$parameters $parameter"
        done

        server_lines="$server_lines        server $address$parameters;$newline"
    done

    [ -n "$server_lines" ] \
        || die 'BACKENDS is not set, it must be "host:port[,weight=N] ..."'
}

check_settings()
{
    must_be_within LISTEN_PORT "$LISTEN_PORT" 1 65535
    check_backends
    check_method "$LB_METHOD"
    check_rate "$RATE"
    must_be_within CAPACITY "$CAPACITY" 1 1000000
    must_match ZONE_SIZE "$ZONE_SIZE" "$size" 'a size, like 16m'
    must_match CLIENT_KEY_HEADER "$CLIENT_KEY_HEADER" \
        '[A-Za-z][A-Za-z0-9-]{0,99}' \
        'the name of a header, of letters, digits and "-"'
    check_store "$STORE_URL"
    [ -z "$STORE_PASSWORD_FILE" ] || must_match STORE_PASSWORD_FILE \
        "$STORE_PASSWORD_FILE" '/[A-Za-z0-9_./-]+' 'an absolute path'
    [ -z "$STORE_TLS_CA" ] || must_match STORE_TLS_CA "$STORE_TLS_CA" \
        '/[A-Za-z0-9_./-]+' 'an absolute path'
    [ -z "$STORE_SHARDS" ] || must_match STORE_SHARDS "$STORE_SHARDS" \
        '1|2|4|8|16|32|64|128|256' 'a power of two from 1 to 256'
    [ -z "$NODE_NAME" ] || must_match NODE_NAME "$NODE_NAME" "$name" \
        'a name of letters, digits, "-", "_" and "."'
    case $SCOPE in
        node) ;;
        global)
            [ "${STORE_URL#redis}" != "$STORE_URL" ] \
                || die 'SCOPE is "global", which takes a Redis as STORE_URL' ;;
        *)  die "SCOPE is \"$SCOPE\", it must be node or global" ;;
    esac
    [ -z "$LB_STATE" ] || must_match LB_STATE "$LB_STATE" \
        '/[A-Za-z0-9_./-]*[A-Za-z0-9_-]' 'the absolute path of a file'
    [ -z "$HEALTH_URI" ] || must_match HEALTH_URI "$HEALTH_URI" \
        '/[A-Za-z0-9_.~/?=&%+-]*' 'a path, like /healthz'
    must_match HEALTH_INTERVAL "$HEALTH_INTERVAL" "$time" 'a time, like 5s'
    check_admin "$ADMIN_LISTEN"
    for word in $ADMIN_HOSTS; do
        must_match 'a word of ADMIN_HOSTS' "$word" "$host" 'a host name'
    done
    for word in $ADMIN_ALLOW; do
        [ "$word" = all ] || must_match 'a word of ADMIN_ALLOW' "$word" \
            "$cidr" 'an address, a network like 10.0.0.0/8, or all'
    done
    for word in $REAL_IP_FROM; do
        must_match 'a word of REAL_IP_FROM' "$word" "$cidr" \
            'an address or a network like 10.0.0.0/8'
    done
    must_match MAX_BODY "$MAX_BODY" "$size" 'a size, like 1m'
    [ "$WORKERS" = auto ] || must_be_within WORKERS "$WORKERS" 1 512
    must_be_within CONNECTIONS "$CONNECTIONS" 16 1000000
    must_match SHUTDOWN_TIMEOUT "$SHUTDOWN_TIMEOUT" "$time" 'a time, like 30s'
    case $LOG_LEVEL in
        debug | info | notice | warn | error | crit) ;;
        *)  die "LOG_LEVEL is \"$LOG_LEVEL\", it must be debug, info," \
                "notice, warn, error or crit" ;;
    esac
}

# $http_x_api_key for X-API-Key

key_variable()
{
    # shellcheck disable=SC2016  # a variable of nginx
    printf '$http_%s' "$CLIENT_KEY_HEADER" | tr 'A-Z-' 'a-z_'
}

store()
{
    [ -n "$STORE_URL" ] || return 0

    more=${STORE_PASSWORD_FILE:+" password_file=$STORE_PASSWORD_FILE"}
    more=$more${NODE_NAME:+" node=$NODE_NAME"}
    more=$more${STORE_SHARDS:+" shards=$STORE_SHARDS"}
    more=$more${STORE_TLS_CA:+" tls_ca=$STORE_TLS_CA"}
    echo "    tbucket_store $STORE_URL$more;"
}

health()
{
    [ -z "$HEALTH_URI" ] \
        || echo "        lb_health_check uri=$HEALTH_URI interval=$HEALTH_INTERVAL;"
}

real_ip()
{
    [ -n "$REAL_IP_FROM" ] || return 0

    for word in $REAL_IP_FROM; do
        echo "    set_real_ip_from $word;"
    done
    echo '    real_ip_header X-Forwarded-For;'
    echo '    real_ip_recursive on;'
}

admin()
{
    [ "$ADMIN_LISTEN" != off ] || return 0

    allow=$(for word in $ADMIN_ALLOW; do echo "        allow $word;"; done)

    cat <<END

    # Administration.  A name that is not known may be a page in somebody's
    # browser (DNS rebinding).

    server {
        listen $ADMIN_LISTEN default_server;
        include $SHARE/snippets/json-errors-location.conf;

        location / {
            return 421;
        }
    }

    server {
        listen $ADMIN_LISTEN;
        server_name localhost 127.0.0.1 [::1]${ADMIN_HOSTS:+ $ADMIN_HOSTS};
        include $SHARE/snippets/json-errors-location.conf;

$allow
        deny all;

        include $SHARE/snippets/admin-locations.conf;

        root $SHARE/dashboard;
        include $SHARE/snippets/dashboard.conf;
    }
END
}

render()
{
    user=
    [ "$(id -u)" != 0 ] || user='user www-data;'

    cat <<END
# Written by docker/entrypoint.sh from the environment.

load_module $MODULES/ngx_http_tbucket_module.so;
load_module $MODULES/ngx_http_lb_upstream_module.so;

$user
worker_processes $WORKERS;
worker_shutdown_timeout $SHUTDOWN_TIMEOUT;
error_log stderr $LOG_LEVEL;
pid $RUN_DIR/nginx.pid;

events {
    worker_connections $CONNECTIONS;
}

http {
    client_body_temp_path $RUN_DIR/client_body;
    proxy_temp_path $RUN_DIR/proxy;
    fastcgi_temp_path $RUN_DIR/fastcgi;
    uwsgi_temp_path $RUN_DIR/uwsgi;
    scgi_temp_path $RUN_DIR/scgi;

    default_type application/octet-stream;
    server_tokens off;
    client_max_body_size $MAX_BODY;

$(real_ip)

    include $SHARE/snippets/json-log.conf;
    access_log /dev/stdout json;

    include $SHARE/snippets/json-errors.conf;

    tbucket_zone $(key_variable) fallback=\$tbucket_addr
                 zone=clients:$ZONE_SIZE rate=$RATE capacity=$CAPACITY scope=$SCOPE;
$(store)

    upstream backend {
        lb $LB_METHOD;
$(health)
$([ -z "$LB_STATE" ] || echo "        lb_state $LB_STATE;")

$server_lines    }

    server {
        listen $LISTEN_PORT default_server backlog=4096;
$([ ! -e /proc/net/if_inet6 ] \
  || echo "        listen [::]:$LISTEN_PORT default_server backlog=4096;")
        include $SHARE/snippets/json-errors-location.conf;

        location / {
            tbucket zone=clients;
            tbucket_log_level info;

            proxy_pass http://backend;
            include $SHARE/snippets/proxy.conf;
        }

        # for the container's health check

        location = /-/healthy {
            access_log off;
            default_type text/plain;
            return 200 "healthy\n";
        }
    }
$(admin)
}
END
}

# What runs: the rendered configuration, unless one is mounted.

prepare()
{
    if [ -e "$CONFIG" ]; then
        conf=$CONFIG
    else
        check_settings
        conf=$RUN_DIR/nginx.conf
        mkdir -p "$RUN_DIR" 2>/dev/null || :
        [ -w "$RUN_DIR" ] \
            || die "RUN_DIR, $RUN_DIR, cannot be written; mount a tmpfs there"

        # a store's URL may hold a password

        (umask 077; render >"$conf.new" && mv -f "$conf.new" "$conf")
    fi

    "$NGINX_BIN" -e stderr -q -t -c "$conf" \
        || die "nginx refuses the configuration in $conf"
}

# nginx takes SIGTERM and SIGINT for "at once", so SIGQUIT is what it gets.
# One that is just starting may miss the signal, hence the second.

finish()
{
    [ -z "$finishing" ] || return 0
    finishing=yes

    {
        for _ in 1 2; do
            kill -QUIT "$nginx" 2>/dev/null || break
            sleep 1
        done
    } &
}

run()
{
    finishing=
    nginx=
    trap finish TERM INT QUIT
    trap 'kill -HUP "$nginx"' HUP
    trap 'kill -USR1 "$nginx"' USR1

    # a session of its own, so that Ctrl-C reaches it by us only

    if grep -Eq '^[[:space:]]*daemon[[:space:]]' "$conf"; then
        setsid "$NGINX_BIN" -e stderr -c "$conf" &
    else
        setsid "$NGINX_BIN" -e stderr -c "$conf" -g 'daemon off;' &
    fi

    nginx=$!

    while :; do
        status=0
        wait "$nginx" || status=$?

        # a trap ends the wait as well

        kill -0 "$nginx" 2>/dev/null || break
    done

    exit "$status"
}

case ${1-} in
    '' | nginx)
        prepare
        run
        ;;
    render)
        check_settings
        render
        ;;
    check)
        prepare
        ;;
    *)
        exec "$@"
        ;;
esac
