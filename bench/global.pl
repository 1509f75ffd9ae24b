#!/usr/bin/env perl

# What a decision costs with scope=global against scope=node, in
# instructions, in one run; and how often Redis is called meanwhile.
#
# How: as decision.pl does it.  A few clients ask all the time, so that their
# leases never end; a redis-server of our own is at hand.
#
# Environment: NGINX_BIN and MODULES (paths).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Bench qw(count exchange free_port module profiled redis stop total);

use constant REQUESTS => 20_000;
use constant BATCH    => 50;
use constant KEYS     => 50;
use constant LIMIT    => 1.1;

my $module = module('tbucket');
my $redis = redis();

my $none = measure('', 'node');
my $node = measure('tbucket zone=bucket; tbucket_headers off;', 'node');
my $global = measure('tbucket zone=bucket; tbucket_headers off;', 'global');
my $ratio = ($global - $none) / ($node - $none);

printf "### Instructions for one decision, for all gateways\n\n"
    . "callgrind, %d admitted requests of %d clients\n\n"
    . "| scope=node | scope=global | ratio |\n| ---: | ---: | ---: |\n"
    . "| %.0f | %.0f | %.2f |\n\n", REQUESTS, KEYS, $node - $none,
    $global - $none, $ratio;

my $missed = $ratio > LIMIT;
print "missed: more than ${\LIMIT}\n" if $missed;

exit !!$missed;


# Returns the instructions that a request takes in the phases.

sub measure {
    my ($limiter, $scope) = @_;
    my $port = free_port();
    my $nginx = profiled(modules => [$module], port => $port,
                         http => configuration($port, $limiter, $scope),
                         options => ['--instr-atstart=no',
                                '--toggle-collect=ngx_http_core_run_phases']);

    ask($nginx, 3 * KEYS);
    count($nginx);
    ask($nginx, REQUESTS);
    stop($nginx);

    return total($nginx) / REQUESTS;
}


sub configuration {
    my ($port, $limiter, $scope) = @_;

    return <<"EOF";
    tbucket_zone \$http_x_api_key zone=bucket:4m rate=100000r/s
                 capacity=1000000 scope=$scope;
    tbucket_store redis://127.0.0.1:$redis timeout=10s;
    server {
        listen 127.0.0.1:$port;
        location / {
            $limiter
            empty_gif;
        }
    }
EOF
}


sub ask {
    my ($nginx, $n) = @_;

    exchange($nginx, 200, BATCH, map {
        sprintf "HEAD / HTTP/1.1\r\nHost: a\r\nX-Api-Key: key-%07d\r\n\r\n",
                $_ % KEYS
    } 1 .. $n);
}
