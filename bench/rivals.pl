#!/usr/bin/env perl

# Proxied requests a second and latency: nginx alone, with limit_req, with
# both modules, and what else limits and balances: nginx with a bucket in Lua
# (rivals/bucket.lua), HAProxy with a stick table, and a reverse proxy in Go
# (rivals/proxy.go), where they are installed.
#
# How: all of them run all the time, with one process or thread each, in front
# of the same backend, and wrk asks them in turns; the ratio to nginx alone is
# the median over the rounds.  Every request is admitted.  In the end ab asks
# nginx with both modules with 1,000 connections; none may fail.
#
# Environment: NGINX_BIN and MODULES (paths), ROUNDS, SECONDS (of each run),
# CLIENTS (connections).

use strict;
use warnings;

use File::Temp qw(tempdir);
use FindBin qw($Bin);
use lib "$Bin/lib";
use Bench qw(backend child free_port gateway module servers);

my $rounds = $ENV{ROUNDS} || 5;
my $seconds = $ENV{SECONDS} || 2;
my $clients = $ENV{CLIENTS} || 64;

my $dir = tempdir(CLEANUP => 1);
my $backend = backend();
my $servers = servers(3, $backend->{port});

my $own = "zone u 64k;\n$servers\nkeepalive 100;";
my $rate = 'rate=100000r/s';

my @rivals = (
    [ 'nginx' => gateway(workers => 1, http => '', location => '',
        modules => [], upstream => $own)->{port} ],
    [ 'nginx, limit_req' => gateway(workers => 1, modules => [],
        http => "limit_req_zone \$binary_remote_addr zone=r:10m $rate;",
        location => 'limit_req zone=r burst=1000000 nodelay;',
        upstream => $own)->{port} ],
    [ 'nginx, both modules' => gateway(workers => 1,
        modules => [ module('tbucket'), module('lb_upstream') ],
        http => "tbucket_zone \$tbucket_addr zone=t:10m $rate "
              . 'capacity=1000000;',
        location => 'tbucket zone=t;',
        upstream => "lb round_robin;\n$servers")->{port} ],
    lua(),
    haproxy(),
    go(),
);

$| = 1;

print "### Proxied requests a second, and latency\n\n"
    . "wrk, $clients clients, $rounds rounds of $seconds s each, medians\n\n"
    . "| gateway | requests/s | p50, ms | p99, ms | p99.9, ms | / nginx |\n"
    . "| :--- | ---: | ---: | ---: | ---: | ---: |\n";

# what wrk does not print by itself

open my $script, '>', "$dir/done.lua" or die "$dir/done.lua: $!\n";
print $script <<'EOF';
done = function(summary, latency, requests)
    print(string.format("figures %f %f %f %f",
          summary.requests / summary.duration * 1e6,
          latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
          latency:percentile(99.9) / 1e3))
end
EOF
close $script;

my @runs;

run($_->[1], 1) for @rivals;

for (1 .. $rounds) {
    push @{ $runs[$_] }, run($rivals[$_][1], $seconds) for 0 .. $#rivals;
}

for my $i (0 .. $#rivals) {
    my @figures = map { my $n = $_; median(map { $_->[$n] } @{ $runs[$i] }) }
                  0 .. 3;

    printf "| %s | %.0f | %.2f | %.2f | %.2f | %.2f |\n", $rivals[$i][0],
        @figures, median(map { $runs[$i][$_][0] / $runs[0][$_][0] }
                         0 .. $rounds - 1);
}

my $ab = `ab -q -n 5000 -c 1000 http://127.0.0.1:$rivals[2][1]/ 2>&1`;
my ($complete) = $ab =~ /^Complete requests:\s+(\d+)/m;
my ($failed) = $ab =~ /^Failed requests:\s+(\d+)/m;
my ($speed) = $ab =~ m{^Requests per second:\s+([\d.]+)}m;

print "\n### ab -n 5000 -c 1000, both modules\n\n"
    . "| complete | failed | requests/s |\n| ---: | ---: | ---: |\n";
printf "| %d | %d | %.0f |\n", $complete // 0, $failed // 5000, $speed // 0;

if (($complete // 0) != 5000 || $failed || $ab =~ /^Non-2xx/m) {
    print "\nmissed: all 5,000 requests of ab answered\n$ab";
    exit 1;
}


sub run {
    my ($port, $time) = @_;
    my $options = "-t 1 -c $clients -d ${time}s -s $dir/done.lua";
    my $out = `wrk $options http://127.0.0.1:$port/ 2>&1`;

    die "wrk: $out\n" if $? || $out =~ /Non-2xx/;

    my @figures = $out =~ /^figures (\S+) (\S+) (\S+) (\S+)/m
        or die "wrk: $out\n";

    return \@figures;
}


# Rows of what is installed.

sub lua {
    my @modules = map { "/usr/lib/nginx/modules/$_.so" } qw(ndk_http_module
                                                         ngx_http_lua_module);

    return () if grep { !-e } @modules;

    return [ 'nginx, Lua' => gateway(workers => 1, modules => \@modules,
        http => "lua_shared_dict buckets 10m;\n"
              . 'lua_package_path "/usr/share/lua/5.1/?.lua;;";',
        location => "access_by_lua_file $Bin/rivals/bucket.lua;",
        upstream => $own)->{port} ];
}


sub haproxy {
    my ($program) = grep { -x } qw(/usr/sbin/haproxy /usr/bin/haproxy);

    return () unless $program;

    my $port = free_port();
    my $lines = $servers =~ s/server (\S+):(\d+);/state()/ger;

    open my $conf, '>', "$dir/haproxy.cfg" or die "$dir/haproxy.cfg: $!\n";
    print $conf <<"EOF";
global
    nbthread 1
    maxconn 4000
defaults
    mode http
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    http-reuse always
frontend f
    bind 127.0.0.1:$port
    stick-table type ip size 100k expire 60s store http_req_rate(1s)
    http-request track-sc0 src
    http-request deny deny_status 429 if { sc_http_req_rate(0) gt 1000000 }
    default_backend b
backend b
    balance roundrobin
$lines
EOF
    close $conf;

    return [ 'HAProxy, stick table' =>
             child($port, $program, '-db', '-f', "$dir/haproxy.cfg") ];
}


my $number;

sub state {
    return '    server s' . ++$number . " $1:$2";
}


sub go {
    return () if system('command -v go >/dev/null 2>&1') != 0;

    if (system('go', 'build', '-o', "$dir/proxy", "$Bin/rivals/proxy.go")
        != 0)
    {
        die "rivals/proxy.go does not compile\n";
    }

    my $port = free_port();

    return [ 'Go, buckets in a map' =>
             child($port, "$dir/proxy", "127.0.0.1:$port",
                   $servers =~ /(127\S+:\d+);/g) ];
}


sub median {
    my @sorted = sort { $a <=> $b } @_;

    return $sorted[@sorted / 2];
}
