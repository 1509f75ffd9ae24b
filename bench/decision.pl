#!/usr/bin/env perl

# What one decision costs in instructions: our module against nginx's own
# limit_req, on the same keys, in one run.
#
# How: nginx runs as one process under callgrind, which counts only inside
# ngx_http_core_run_phases(), from the first phase to the response's header;
# what a request without a limiter takes there is subtracted.  That needs no
# symbol but one that every nginx exports.  All keys are in the zone before
# the counting begins, every request is admitted, and all are answered alike.
#
# Environment: NGINX_BIN and MODULES (paths), KEYS (numbers, separated by
# spaces).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Bench qw(count exchange free_port module profiled stop total);

use constant LIMIT    => 0.5;
use constant REQUESTS => 20_000;
use constant BATCH    => 50;
use constant PRIME    => 7_919;     # scatters the keys: divides no KEYS

my $module = module('tbucket');
my @keys = split ' ', $ENV{KEYS} || '1000 100000 1000000';

my @limiters = (
    [ none      => '' ],
    [ limit_req => 'limit_req zone=req burst=1000000 nodelay;' ],
    [ off       => 'tbucket zone=bucket; tbucket_headers off;' ],
    [ ietf      => 'tbucket zone=bucket; tbucket_headers ietf;' ],
    [ legacy    => 'tbucket zone=bucket; tbucket_headers legacy;' ],
);

$| = 1;

printf "### Instructions for one decision\n\n"
    . "callgrind, %d admitted requests, all keys known; ratio: at most %s; "
    . "headers cost the same whatever the keys\n\n"
    . "| keys | limit_req | tbucket | ratio | + ietf headers "
    . "| + legacy headers |\n"
    . "| ---: | ---: | ---: | ---: | ---: | ---: |\n", REQUESTS, LIMIT;

my $missed = 0;

for my $n (@keys) {
    my @measured = $n == $keys[0] ? @limiters : @limiters[0 .. 2];
    my %cost = map { $_->[0] => measure($_->[1], $n) } @measured;
    my $theirs = $cost{limit_req} - $cost{none};
    my $ours = $cost{off} - $cost{none};

    printf "| %d | %.0f | %.0f | %.2f |%s\n", $n, $theirs, $ours,
        $ours / $theirs,
        join '', map {
            defined $cost{$_} ? sprintf ' %.0f |', $cost{$_} - $cost{off}
                              : ' |'
        } qw(ietf legacy);

    $missed ||= $ours > LIMIT * $theirs;
}

print "\n";
print "missed: more than ${\LIMIT}\n" if $missed;

exit !!$missed;


# Returns the instructions that a request takes in the phases.

sub measure {
    my ($limiter, $n) = @_;
    my $port = free_port();
    my $nginx = profiled(modules => [$module], port => $port,
                         http => configuration($port, $limiter, $n),
                         options => ['--instr-atstart=no',
                                '--toggle-collect=ngx_http_core_run_phases']);

    ask($nginx, 0 .. $n - 1);
    count($nginx);
    ask($nginx, map { $_ * PRIME % $n } 1 .. REQUESTS);
    stop($nginx);

    return total($nginx) / REQUESTS;
}


sub configuration {
    my ($port, $limiter, $n) = @_;

    # both are given the room that all keys need, and no refusals

    my $size = 4 + int($n / 2000);

    return <<"EOF";
    tbucket_refill 10s;
    limit_req_zone \$http_x_api_key zone=req:${size}m rate=100000r/s;
    tbucket_zone \$http_x_api_key zone=bucket:${size}m rate=100000r/s
                 capacity=1000000;
    server {
        listen 127.0.0.1:$port;
        location / {
            $limiter
            empty_gif;
        }
    }
EOF
}


# One request of each of these keys.

sub ask {
    my ($nginx, @keys) = @_;

    exchange($nginx, 200, BATCH, map {
        sprintf "HEAD / HTTP/1.1\r\nHost: a\r\nX-Api-Key: key-%07d\r\n\r\n", $_
    } @keys);
}
