#!/usr/bin/env perl

# What both modules cost a proxied request in instructions: the limiter and
# our balancer against nginx with its own round robin and no limiter.
#
# The limiter is configured as README has it: keys in a header, of clients that
# are registered, and of strangers, who fall back to their address; but for a
# rate that admits all.
#
# How: a gateway of one process runs under callgrind, which counts whole
# requests, from reading one to ending it, once there is an idle connection
# to each server, and the ticker, every 100 ms.  Everything but the two modules
# is the same.
#
# Environment: NGINX_BIN and MODULES (paths), SERVERS (numbers, separated by
# spaces).

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/lib";
use Bench qw(backend call count counted exchange free_port gateway module
             servers stop total);

use constant REQUESTS => 4_000;
use constant BATCH    => 50;
use constant LIMIT    => 1.02;

my @servers = split ' ', $ENV{SERVERS} || '3 10 100';
my $lb = module('lb_upstream');
my $tbucket = module('tbucket');

my %keepalive = (
    nginx => 'keepalive 1000; keepalive_requests 100000000;',
    lb    => 'lb_keepalive 32 requests=100000000;',
);

my $admin = free_port();
my $zone = 'tbucket_zone $http_x_api_key fallback=$tbucket_addr '
         . 'zone=clients:16m rate=1000000r/s capacity=1000000; '
         . "server { listen 127.0.0.1:$admin; "
         . 'location /clients { tbucket_api zone=clients write=on; } }';

my @gateways = (
    { upstream => 'zone u 16m;', keepalive => $keepalive{nginx} },
    { upstream => 'lb round_robin;', keepalive => $keepalive{lb},
      modules => [ $lb ] },
    { upstream => 'lb round_robin;', keepalive => $keepalive{lb},
      modules => [ $lb, $tbucket ], http => $zone,
      location => 'tbucket zone=clients; tbucket_headers off;',
      registered => 1 },
    { upstream => 'lb round_robin;', keepalive => $keepalive{lb},
      modules => [ $lb, $tbucket ], http => $zone,
      location => 'tbucket zone=clients;', registered => 1 },
    { upstream => 'lb round_robin;', keepalive => $keepalive{lb},
      modules => [ $lb, $tbucket ], http => $zone,
      location => 'tbucket zone=clients;' },
);

$| = 1;

printf "### Instructions of one proxied request\n\n"
    . "callgrind, %d requests over idle connections; x: times nginx alone, "
    . "at most %s with all that is on by default, of a client that is "
    . "registered\n\n"
    . "| servers | nginx | lb | x | lb, tbucket | x | lb, tbucket, headers "
    . "| x | of a stranger | x |\n"
    . "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: "
    . "|\n",
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

    call('POST', "http://127.0.0.1:$admin/clients",
         '{"client_id":"key-1","capacity":1000000,"rate_per_sec":1000000}')
        if $with->{registered};

    ask($gateway, 1000 + $n);
    count($gateway);
    ask($gateway, REQUESTS);
    counted($gateway);
    stop($gateway);

    return total($gateway) / REQUESTS;
}


sub ask {
    my ($gateway, $n) = @_;

    exchange($gateway, 204, BATCH,
             ("GET / HTTP/1.1\r\nHost: api.example.com\r\n"
              . "User-Agent: curl/7.88.1\r\nAccept: */*\r\n"
              . "X-Api-Key: key-1\r\n\r\n") x $n);
}
