#!/usr/bin/env perl

# What a decision costs with scope=global against scope=node, in
# instructions, in one run, with Redis over plain TCP and over TLS; and how
# long the first request of a client takes, which waits for Redis.
#
# How: as decision.pl does it.  A few clients ask all the time, so that their
# leases never end; a redis-server of our own is at hand.  First requests are
# of clients that nobody has seen, one after the other, at one gateway and at
# the other in turn; the ratio is the median of those of several rounds.
#
# Environment: NGINX_BIN and MODULES (paths).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Bench qw(count exchange free_port module profiled redis stop total);
use Time::HiRes qw(sleep time);

use constant REQUESTS => 20_000;
use constant BATCH    => 50;
use constant KEYS     => 50;
use constant LIMIT    => 1.1;

use constant ROUNDS     => 15;
use constant FIRST      => 1_000;
use constant LIMIT_P99  => 1.2;
use constant LIMIT_TLS  => 1.05;

my $module = module('tbucket');
my ($redis, $over_tls) = redis();
my $plain = "redis://127.0.0.1:$redis";
my $limited = 'tbucket zone=bucket; tbucket_headers off;';
my @missed;

my $none = measure('', 'node', $plain);
my $node = measure($limited, 'node', $plain);
my $global = measure($limited, 'global', $plain);
my $tls = measure($limited, 'global', $over_tls);
my $ratio = ($global - $none) / ($node - $none);

printf "### Instructions for one decision, for all gateways\n\n"
    . "callgrind, %d admitted requests of %d clients\n\n"
    . "| scope=node | scope=global | over TLS | ratio |\n"
    . "| ---: | ---: | ---: | ---: |\n"
    . "| %.0f | %.0f | %.0f | %.2f |\n\n", REQUESTS, KEYS, $node - $none,
    $global - $none, $tls - $none, $ratio;

push @missed, 'more than ' . LIMIT if $ratio > LIMIT;
push @missed, 'more than ' . LIMIT_TLS . ' over TLS'
    if ($tls - $none) / ($global - $none) > LIMIT_TLS;

my ($p50, $p99) = first_requests();

printf "### First requests, ms\n\n"
    . "%d rounds of %d clients each, medians of the rounds\n\n"
    . "| | plain | TLS | ratio |\n| :--- | ---: | ---: | ---: |\n"
    . "| p50 | %.3f | %.3f | %.2f |\n| p99 | %.3f | %.3f | %.2f |\n\n",
    ROUNDS, FIRST, @$p50, @$p99;

push @missed, 'more than ' . LIMIT_P99 . ' for first requests over TLS'
    if $p99->[2] > LIMIT_P99;

print "missed: $_\n" for @missed;

exit !!@missed;


# Returns the instructions that a request takes in the phases.

sub measure {
    my ($limiter, $scope, $store) = @_;
    my $port = free_port();
    my $nginx = profiled(modules => [$module], port => $port,
                         http => configuration($port, $limiter, $scope,
                                               $store),
                         options => ['--instr-atstart=no',
                                '--toggle-collect=ngx_http_core_run_phases']);

    ask($nginx, 3 * KEYS);
    count($nginx);
    ask($nginx, REQUESTS);
    stop($nginx);

    return total($nginx) / REQUESTS;
}


# Returns the percentiles 50 and 99, each [plain, TLS, ratio].

sub first_requests {
    my @gateway = map {
        my $port = free_port();
        profiled(modules => [$module], port => $port,
                 http => configuration($port, $limited, 'global', $_))
    } "$plain prefix=plain", "$over_tls prefix=tls";

    # connections to Redis are up, and this node is known

    ask($_, 3 * KEYS) for @gateway;
    sleep 1;

    my $key = 0;
    my @round;

    for my $round (1 .. ROUNDS) {
        my @took;

        for my $n (1 .. FIRST) {
            for my $i ($n & 1, 1 - ($n & 1)) {
                my $begin = time;

                exchange($gateway[$i], 200, 1, request("new-" . $key++));
                push @{ $took[$i] }, 1000 * (time - $begin);
            }
        }

        push @round, [map { [sort { $a <=> $b } @$_] } @took];
    }

    stop($_) for @gateway;

    return map {
        my $at = int($_ * FIRST / 100);
        my @each = map { [$_->[0][$at], $_->[1][$at],
                          $_->[1][$at] / $_->[0][$at]] } @round;

        [map { my $i = $_;
               (sort { $a <=> $b } map { $_->[$i] } @each)[ROUNDS / 2] }
             0 .. 2]
    } 50, 99;
}


sub configuration {
    my ($port, $limiter, $scope, $store) = @_;

    return <<"EOF";
    tbucket_zone \$http_x_api_key zone=bucket:4m rate=100000r/s
                 capacity=1000000 scope=$scope;
    tbucket_store $store timeout=10s;
    server {
        listen 127.0.0.1:$port;
        location / {
            $limiter
            empty_gif;
        }
    }
EOF
}


sub request {
    my ($key) = @_;

    return "HEAD / HTTP/1.1\r\nHost: a\r\nX-Api-Key: $key\r\n\r\n";
}


sub ask {
    my ($nginx, $n) = @_;

    exchange($nginx, 200, BATCH, map {
        request(sprintf 'key-%07d', $_ % KEYS)
    } 1 .. $n);
}
