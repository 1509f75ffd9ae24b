#!/usr/bin/env perl

# What balancing costs a request in instructions, picking a server, taking it
# back and keeping its connection: each of our methods beside nginx's own
# balancer of that kind with "keepalive", with few and with many servers.
#
# How: a gateway of one process runs under callgrind, which counts whole
# requests once there is an idle connection to (nearly) each server.  Ours is
# what was counted in the five functions that nginx calls for a request, and
# all that they call, but for what ends the request of one of them.  nginx's
# are static and have no names in a package, so theirs is the whole request
# less what a request takes without balancing, which is a whole request of ours
# less that of the five functions.
#
# Environment: NGINX_BIN and MODULES (paths), SERVERS (numbers, separated by
# spaces), METHODS (patterns of the rows wanted, likewise).

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/lib";
use Bench qw(alone ask backend count counted gateway instructions module
             refused servers stop total);

use constant REQUESTS => 2_000;

my @servers = split ' ', $ENV{SERVERS} || '10 1000 10000';
my @wanted = split ' ', $ENV{METHODS} || '.';
my $module = module('lb_upstream');

# our method, how much it may cost at most of servers to few, nginx's own

my @methods = (
    [ 'round_robin',  1.2, 'zone u 64m;' ],
    [ 'least_conn',   3,   'zone u 64m; least_conn;' ],
    [ 'random',       1.2, 'zone u 64m; random;' ],
    [ 'p2c',          1.2, 'zone u 64m; random two;' ],
    [ 'least_time',   1.2, undef ],
    [ 'hash $arg_k',  1.2, 'zone u 64m; hash $arg_k consistent;' ],
);

my @functions = map { "ngx_http_lb_$_" } qw(init_peer get_peer free_peer
                                            ctx_cleanup);

$| = 1;

printf "### Instructions of balancing, for one request\n\n"
    . "callgrind, %d requests over idle connections; x: times that with %d "
    . "servers\n\n"
    . "| method | servers | nginx | x | lb | x | lb / nginx |\n"
    . "| :--- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    REQUESTS, $servers[0];

my $port = backend()->{port};
my (%rest, @missed);

for my $method (@methods) {
    my ($name, $limit, $own) = @$method;

    next unless grep { $name =~ /$_/ } @wanted;

    if (refused("lb $name;\nserver 127.0.0.1:1;", $module)) {
        print "| $name | not in this build | | | | | |\n";
        next;
    }

    my ($first, $first_own);

    for my $n (@servers) {
        my ($cost, $whole) = measure("lb $name; lb_keepalive 32 "
                                     . 'requests=100000000 timeout=1h;',
                                     servers($n, $port), $n, 1);

        $rest{$n} //= $whole - $cost;
        $first //= $cost;

        push @missed, sprintf '%s: %.2f at %d servers, at most %s', $name,
            $cost / $first, $n, $limit
            if $cost > $limit * $first && ($n <= 1000 || $limit < 2);

        my @theirs = ('', '', '');

        if ($own) {
            my (undef, $all) = measure($own, servers($n, $port)
                . "keepalive 16000; keepalive_requests 100000000; "
                . 'keepalive_timeout 1h;', $n, 0);
            my $theirs = $all - $rest{$n};

            $first_own //= $theirs;
            @theirs = map { sprintf $_->[0], $_->[1] }
                [ '%.0f', $theirs ], [ '%.2f', $theirs / $first_own ],
                [ '%.3f', $cost / $theirs ];
        }

        printf "| %s | %d | %s | %s | %.0f | %.2f | %s |\n", $name, $n,
            @theirs[0, 1], $cost, $cost / $first, $theirs[2];
    }
}

print "\n";
print "missed: $_\n" for @missed;

exit !!@missed;


# Returns the instructions of a request in our functions, and as a whole.

sub measure {
    my ($method, $servers, $n, $ours) = @_;

    my $gateway = gateway(callgrind => 1, http => '', location => '',
                          modules => [ $ours ? $module : () ],
                          upstream => "$method\n$servers");

    # an idle connection to each server, or to nearly each where they are
    # drawn; keys that come again find one

    ask($gateway, $n * ($method =~ /random|p2c|least_time/ ? 4 : 1)
                  + REQUESTS);

    count($gateway);
    ask($gateway, REQUESTS);
    counted($gateway);
    stop($gateway);

    my $cost = $ours ? instructions($gateway, @functions)
                       + alone($gateway, 'ngx_http_lb_finalize') : 0;

    return ($cost / REQUESTS, total($gateway) / REQUESTS);
}
