# docker/entrypoint.sh: what it makes of the environment, what it refuses, and
# how it stops.  No container is needed.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Gateway;
use Gateway::Process qw(spawn wait_exit);
use Test::More;
use Time::HiRes qw(sleep time);

my $top    = "$FindBin::Bin/..";
my $script = "$top/docker/entrypoint.sh";
my $dir    = temp_dir();

my $modules = "$top/build/release";
if (my ($folder) = ($ENV{TEST_NGINX_LOAD_MODULES} // '')
                   =~ m{^\s*(\S+)/[^/]+\.so})
{
    $modules = Gateway::absolute($folder);
}

my @base = ("NGINX_BIN=" . ($ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx'),
            "SHARE=$top/conf", "MODULES=$modules",
            "CONFIG=$dir/none", "PATH=$ENV{PATH}", "ADMIN_LISTEN=off",
            map { exists $ENV{$_} ? "$_=$ENV{$_}" : () }
            qw(LD_PRELOAD ASAN_OPTIONS LSAN_OPTIONS UBSAN_OPTIONS));
my $n = 0;


# (exit code, output) of the script with these settings

sub script
{
    my ($command, @settings) = @_;

    my $run = "$dir/run" . ++$n;
    my $out = "$dir/out$n";
    my $pid = spawn($out, '/usr/bin/env', '-i', @base, "RUN_DIR=$run",
                    'BACKENDS=127.0.0.1:9001',
                    'LISTEN_PORT=' . Gateway::free_port(), @settings,
                    '/bin/sh', $script, $command);

    return (wait_exit($pid, 30) >> 8, Gateway::slurp($out));
}


sub writes
{
    my ($what, $re, @settings) = @_;

    my ($code, $out) = script('render', @settings);
    is($code, 0, "$what is taken") or diag($out);
    like($out, $re, 'and is in the configuration');

    ($code, $out) = script('check', @settings);
    is($code, 0, 'which nginx accepts') or diag($out);
}

sub refuses
{
    my ($setting, $re) = @_;

    my ($code, $out) = script('check', $setting);
    is($code, 1, "$setting is refused" =~ s/\n/\\n/gr);
    like($out, qr/^entrypoint: $re/m, 'with the reason');
}

subtest 'what is set is what nginx gets' => sub {
    writes('a list of backends',
           qr/server 127\.0\.0\.1:9001 weight=2;\n\s+server \[::1\]:90 backup;/,
           'BACKENDS=127.0.0.1:9001,weight=2 [::1]:90,backup');
    writes('each method', qr/lb $_;/, "LB_METHOD=$_")
        for qw(round_robin least_conn random p2c least_time);
    writes('a hash key', qr/lb hash \$remote_addr\$uri;/,
           'LB_METHOD=hash $remote_addr$uri');
    writes('a limit', qr/rate=0\.5r\/m capacity=7 scope=node;/,
           'RATE=0.5r/m', 'CAPACITY=7');
    writes('the header of the key', qr/tbucket_zone \$http_x_my_key /,
           'CLIENT_KEY_HEADER=X-My-Key');
    writes('a database', qr{tbucket_store sqlite:$dir/c.db;},
           "STORE_URL=sqlite:$dir/c.db");
    writes('one limit for all', qr/ scope=global;/, 'SCOPE=global',
           'STORE_URL=redis://127.0.0.1:1');
    writes('a cluster',
           qr{tbucket_store redis\+cluster://a,b:7000 shards=16;},
           'STORE_URL=redis+cluster://a,b:7000', 'STORE_SHARDS=16');
    writes('TLS', qr{tbucket_store rediss://a;}, 'STORE_URL=rediss://a');
    writes('a state file', qr{lb_state $dir/state/b.json;},
           "LB_STATE=$dir/state/b.json");
    writes('a health check', qr{lb_health_check uri=/up interval=2s;},
           'HEALTH_URI=/up', 'HEALTH_INTERVAL=2s');
    my $port = Gateway::free_port();
    writes('an admin server',
           qr/listen\ 127\.0\.0\.1:$port\ default_server;.*return\ 421;.*
              localhost\ 127\.0\.0\.1\ \[::1\]\ gw;.*allow\ 10\.0\.0\.0\/8;
              \s+deny\ all;.*root\ \S+\/dashboard;/xs,
           "ADMIN_LISTEN=127.0.0.1:$port", 'ADMIN_HOSTS=gw',
           'ADMIN_ALLOW=10.0.0.0/8');
    writes('proxies in front', qr/set_real_ip_from 10\.0\.0\.0\/8;/,
           'REAL_IP_FROM=10.0.0.0/8 ::1');
};

subtest 'what cannot be is refused before nginx starts' => sub {
    refuses(@$_) for (
        ['BACKENDS=', qr/BACKENDS is not set/],
        ['BACKENDS=nowhere', qr/a word of BACKENDS is "nowhere"/],
        ['BACKENDS=a:99999', qr/the port of a:99999 .* from 1 to 65535/],
        ['BACKENDS=a:1,weight=0', qr/weight of a:1 .* from 1 to 65535/],
        ['BACKENDS=a:1,heavy', qr/"heavy" of a:1 in BACKENDS must be/],
        ['BACKENDS=a:1;}', qr/a word of BACKENDS is/],
        ["BACKENDS=a:1\nb:2", qr/BACKENDS must be one line/],
        ['LISTEN_PORT=0', qr/LISTEN_PORT is "0".* from 1 to 65535/],
        ['LISTEN_PORT=80a', qr/LISTEN_PORT is "80a"/],
        ['LB_METHOD=fastest', qr/LB_METHOD is "fastest".* must be round_rob/],
        ['LB_METHOD=hash $a;', qr/LB_METHOD is/],
        ['RATE=10', qr/RATE is "10", it must be like/],
        ['RATE=0r/s', qr{RATE is "0r/s", it must be from 1r/d}],
        ['RATE=1000001r/s', qr{RATE is .* to 1000000r/s}],
        ['CAPACITY=0', qr/CAPACITY is "0".* from 1 to 1000000/],
        ['CAPACITY=1000001', qr/CAPACITY is/],
        ['ZONE_SIZE=much', qr/ZONE_SIZE is "much"/],
        ['CLIENT_KEY_HEADER=X Key', qr/CLIENT_KEY_HEADER is/],
        ['STORE_URL=mysql://a', qr/STORE_URL must begin with/],
        ['STORE_SHARDS=3', qr/STORE_SHARDS is "3", it must be a power of/],
        ['STORE_URL=redis://:secret;@a', qr/STORE_URL has a character/],
        ['SCOPE=all', qr/SCOPE is "all", it must be node or global/],
        ['SCOPE=global', qr/SCOPE is "global", which takes a Redis/],
        ['LB_STATE=b.json', qr/LB_STATE is "b.json"/],
        ['HEALTH_URI=up', qr/HEALTH_URI is "up"/],
        ['ADMIN_LISTEN=8081', qr/ADMIN_LISTEN is "8081"/],
        ['ADMIN_HOSTS=a;b', qr/a word of ADMIN_HOSTS/],
        ['REAL_IP_FROM=all', qr/a word of REAL_IP_FROM/],
        ['MAX_BODY=x', qr/MAX_BODY is/],
        ['WORKERS=0', qr/WORKERS is "0"/],
        ['SHUTDOWN_TIMEOUT=soon', qr/SHUTDOWN_TIMEOUT is/],
        ['LOG_LEVEL=loud', qr/LOG_LEVEL is "loud"/],
    );

    my ($code, $out) = script('check', 'STORE_URL=redis://:secret;@a');
    unlike($out, qr/secret/, 'a password is not shown');

    ($code, $out) = script('check', 'ZONE_SIZE=4k');
    is($code, 1, 'what only nginx can judge is refused by it');
    like($out, qr/\[emerg\].*^entrypoint: nginx refuses/ms, 'and told');
};

subtest 'a configuration that is mounted is used as it is' => sub {
    my $port = Gateway::free_port();
    open(my $conf, '>', "$dir/mounted.conf") or die;
    print $conf "daemon off; pid $dir/pid; events {}\n"
        . "http { access_log off; server { listen 127.0.0.1:$port;"
        . ' location / { return 200 mine; } } }';
    close($conf);

    my $pid = spawn("$dir/mounted.out", '/usr/bin/env', '-i', @base,
                    "CONFIG=$dir/mounted.conf", 'BACKENDS=', '/bin/sh',
                    $script);
    ok(wait_for(sub { (get($port, '/')->{body} // '') eq 'mine' }), 'it serves')
        or diag(Gateway::slurp("$dir/mounted.out"));
    kill('TERM', $pid);
    is(wait_exit($pid, 20), 0, 'and stops');
};

subtest "SIG$_ finishes 200 slow requests" => sub { stops($_) }
    for qw(TERM INT QUIT);


sub stops
{
    my ($signal) = @_;

    my $b    = backend(name => 'slow', answer => sub { { delay => 3 } });
    my $port = Gateway::free_port();
    my $run  = "$dir/stop-$signal";
    my $out  = "$run.out";
    my $pid  = spawn($out, '/usr/bin/env', '-i', @base, "RUN_DIR=$run",
                     'BACKENDS=127.0.0.1:' . $b->port, "LISTEN_PORT=$port",
                     'RATE=1000r/s', 'CAPACITY=1000', '/bin/sh', $script);

    wait_for(sub { get($port, '/-/healthy')->{code} == 200 }, 20)
        or diag(Gateway::slurp($out));

    my @clients = map { client($port) } 1 .. 200;
    $_->send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        for @clients;
    my $seen = wait_for(sub { my @uris = $b->requests; @uris == 200 }, 10);
    ok($seen, '200 requests are in flight');

    kill($signal, $pid);
    ok(wait_for(sub { (get($port, '/-/healthy')->{error} // '')
                      =~ /refused/ }),
       'new connections are refused');

    my $good = grep { ($_->response->{code} // 0) == 200 } @clients;
    is($good, 200, 'all are answered');
    is(wait_exit($pid, 20), 0, 'the exit code is 0')
        or diag(Gateway::slurp($out));
}

done_testing();
