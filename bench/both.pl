#!/usr/bin/env perl

# What both modules cost a proxied request in instructions: the limiter and
# our balancer against nginx with its own round robin and no limiter.
#
# How: a gateway of one process runs under callgrind, which counts whole
# requests, from reading one to ending it, once there is an idle connection
# to each server.  Everything but the two modules is the same.
#
# Environment: NGINX_BIN and MODULES (paths), SERVERS (numbers, separated by
# spaces).

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/lib";
use Bench qw(ask backend count counted gateway module servers stop total);

use constant REQUESTS => 4_000;
use constant LIMIT    => 1.03;

my @servers = split ' ', $ENV{SERVERS} || '3 10 100';
my $lb = module('lb_upstream');
my $tbucket = module('tbucket');

my %keepalive = (
    nginx => 'keepalive 1000; keepalive_requests 100000000;',
    lb    => 'lb_keepalive 32 requests=100000000;',
);

# what the ticker does counts by the second, not by the request, and under
# callgrind a second has few requests

my $zone = 'tbucket_zone $remote_addr zone=clients:1m rate=1000000r/s '
         . 'capacity=1000000; tbucket_refill 10s;';

my @gateways = (
    { upstream => 'zone u 16m;', keepalive => $keepalive{nginx} },
    { upstream => 'lb round_robin;', keepalive => $keepalive{lb},
      modules => [ $lb ] },
    { upstream => 'lb round_robin;', keepalive => $keepalive{lb},
      modules => [ $lb, $tbucket ], http => $zone,
      location => 'tbucket zone=clients; tbucket_headers off;' },
    { upstream => 'lb round_robin;', keepalive => $keepalive{lb},
      modules => [ $lb, $tbucket ], http => $zone,
      location => 'tbucket zone=clients;' },
);

$| = 1;

printf "### Instructions of one proxied request\n\n"
    . "callgrind, %d requests over idle connections; x: times nginx alone, "
    . "at most %s with all that is on by default\n\n"
    . "| servers | nginx | lb | x | lb, tbucket | x | lb, tbucket, headers "
    . "| x |\n"
    . "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    REQUESTS, LIMIT;

my $port = backend()->{port};
my $missed = 0;

for my $n (@servers) {
    my ($own, @ours) = map { measure($_, $n) } @gateways;

    printf "| %d | %.0f |%s\n", $n, $own,
        join '', map { sprintf ' %.0f | %.3f |', $_, $_ / $own } @ours;

    $missed ||= $ours[2] > LIMIT * $own;
}

print "\n";
print "missed: more than ${\LIMIT}\n" if $missed;

exit !!$missed;


sub measure {
    my ($with, $n) = @_;

    my $gateway = gateway(callgrind => 1, http => '', location => '',
                          modules => [], %$with,
                          upstream => "$with->{upstream}\n"
                                      . servers($n, $port)
                                      . "\n$with->{keepalive}");

    ask($gateway, 1000 + $n);
    count($gateway);
    ask($gateway, REQUESTS);
    counted($gateway);
    stop($gateway);

    return total($gateway) / REQUESTS;
}
