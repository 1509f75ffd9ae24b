#!/usr/bin/env perl

# What one pick costs in instructions: each method of "lb" beside nginx's own
# round robin in a zone, with few and with many servers, in one run.
#
# How: nginx runs as one process under callgrind, which counts only inside
# the two functions that a balancer has for a request: get, which picks (and
# looks for an idle connection), and free, which takes the server back (and
# keeps the connection).  The servers are the loopback addresses of one
# listening socket of the same nginx; requests come one after the other.
#
# Environment: NGINX_BIN and MODULES (paths), SERVERS (numbers, separated by
# spaces), BALANCERS (names as below, all by default), KEEPALIVE (idle
# connections per server, 0 by default, as nginx keeps none by itself).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Bench qw(exchange free_port instructions module profiled servers stop);

use constant REQUESTS => 3_000;

my $module = module('lb_upstream');
my @servers = split ' ', $ENV{SERVERS} || '10 1000 10000';

my $keepalive = $ENV{KEEPALIVE} // 0;

my @balancer = (
    (map { { name => "lb $_", conf => "lb $_; lb_keepalive $keepalive;",
             get  => 'ngx_http_lb_get_peer',
             free => 'ngx_http_lb_free_peer' } }
         'round_robin', 'random', 'p2c', 'least_time', 'hash $request_id',
         'least_conn'),
    { name => 'nginx', conf => 'zone u 64m;',
      get  => 'ngx_http_upstream_get_round_robin_peer',
      free => 'ngx_http_upstream_free_round_robin_peer' },
);

if ($ENV{BALANCERS}) {
    @balancer = grep { index(" $ENV{BALANCERS} ",
                             ' ' . $_->{name} =~ s/^lb |\s\$.*//gr . ' ')
                       >= 0 } @balancer;
}

$| = 1;

printf "### Instructions for one pick\n\n"
    . "callgrind, %d requests; x: times that with %d servers\n\n"
    . "| balancer | servers | get | free | get + free | x |\n"
    . "| --- | ---: | ---: | ---: | ---: | ---: |\n",
    REQUESTS, $servers[0];

for my $balancer (@balancer) {
    my $first;

    for my $n (@servers) {
        my $cost = measure($balancer, $n);
        my $sum = $cost->{get} + $cost->{free};

        $first //= $sum;

        printf "| %s | %d | %.0f | %.0f | %.0f | %.2f |\n",
            $balancer->{name}, $n, $cost->{get}, $cost->{free}, $sum,
            $sum / $first;
    }
}

print "\n";


# Returns the instructions of get and free for one request.

sub measure {
    my ($balancer, $n) = @_;
    my ($port, $backend) = (free_port(), free_port());
    my $nginx = profiled(modules => [$module], port => $port,
                         http => configuration($port, $backend,
                                               $balancer->{conf}, $n),
                         options => [map { "--toggle-collect=$balancer->{$_}" }
                                     qw(get free)]);

    exchange($nginx, 204, 1,
             ("GET / HTTP/1.1\r\nHost: a\r\n\r\n") x REQUESTS);
    stop($nginx);

    return { map { $_ => instructions($nginx, $balancer->{$_}) / REQUESTS }
             qw(get free) };
}


sub configuration {
    my ($port, $backend, $balancer, $n) = @_;
    my $servers = servers($n, $backend);

    return <<"EOF";
    upstream u {
        $balancer
        $servers
    }
    server {
        listen 127.0.0.1:$port;
        location / { proxy_pass http://u; }
    }
    server {
        listen $backend;
        location / { return 204; }
    }
EOF
}
