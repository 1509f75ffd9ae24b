#!/usr/bin/env perl

# Proxied requests a second, and latency, with many servers: "lb round_robin"
# against nginx's own round robin in a zone with "keepalive".
#
# How: both gateways run all the time in front of the same backend, and wrk
# asks them in turns, A B A B, so that whatever else the machine does hits
# both.  The ratio is the median of the pairs', of requests a second, and of
# requests for each second of the processor that a gateway's workers took,
# which says the same where wrk, the backend and others leave them too little.
#
# Environment: NGINX_BIN and MODULES (paths), SERVERS (a number), PAIRS,
# SECONDS (of each run), CLIENTS (connections), WORKERS (of each gateway).

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/lib";
use Bench qw(ask backend contents gateway module servers stop);

use constant AT_LEAST => 3;

my $n = $ENV{SERVERS} || 1000;
my $pairs = $ENV{PAIRS} || 5;
my $seconds = $ENV{SECONDS} || 3;
my $clients = $ENV{CLIENTS} || 64;
my $workers = $ENV{WORKERS} || 1;

$| = 1;

print "### Requests per second with $n servers\n\n"
    . "wrk, $clients clients, $workers worker(s), $pairs pairs of runs of "
    . "$seconds s\n\n"
    . "| pair | nginx | p50 | p99 | lb | p50 | p99 "
    . "| lb / nginx | for its CPU |\n"
    . "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";

my $backend = backend();
my $servers = servers($n, $backend->{port});

# as many idle connections as lb may keep, within the limit of open files

my $own = gateway(workers => $workers, http => '', location => '',
    modules => [], upstream => "zone u 64m;\n$servers\n"
                             . 'keepalive 8000; '
                             . 'keepalive_requests 100000000;');

my $ours = gateway(workers => $workers, http => '', location => '',
    modules => [ module('lb_upstream') ],
    upstream => "lb round_robin;\n$servers\n"
              . 'lb_keepalive 32 requests=100000000;');

for ($own, $ours) {
    ask($_, 2 * $n);
    run($_, 1);
}

my (@ratios, @costs);

for my $pair (1 .. $pairs) {
    my @figures = map { run($_, $seconds) } $own, $ours;

    push @ratios, $figures[1]{rate} / $figures[0]{rate};
    push @costs, $figures[0]{cost} / $figures[1]{cost};

    printf "| %d |%s %.2f | %.2f |\n", $pair,
        join('', map { sprintf ' %.0f | %s | %s |', @$_{qw(rate p50 p99)} }
             @figures),
        $ratios[-1], $costs[-1];
}

my $median = median(@ratios);

printf "\nlb / nginx, median: %.2f, for its CPU %.2f\n", $median,
    median(@costs);
printf "missed: less than %d\n", AT_LEAST if $median < AT_LEAST;

stop($_) for $own, $ours, $backend;

exit($median < AT_LEAST);


sub run {
    my ($gateway, $time) = @_;
    my $before = cpu($gateway);
    my $out = `wrk -t 1 -c $clients -d ${time}s --latency http://127.0.0.1:$gateway->{port}/ 2>&1`;
    my $ticks = cpu($gateway) - $before;

    die "wrk: $out\n" if $? || $out =~ /Non-2xx|Socket errors/;

    my ($rate) = $out =~ m{^Requests/sec:\s+([\d.]+)}m
        or die "wrk: $out\n";
    my ($requests) = $out =~ /^\s+(\d+) requests in/m
        or die "wrk: $out\n";
    my ($p50) = $out =~ /^\s+50%\s+(\S+)/m;
    my ($p99) = $out =~ /^\s+99%\s+(\S+)/m;

    return { rate => $rate, p50 => $p50, p99 => $p99,
             cost => $ticks / $requests };
}


# What the workers have had of the processor so far, in ticks.

sub cpu {
    my ($gateway) = @_;
    my $pid = $gateway->{pid};
    my $ticks = 0;

    for my $worker (split ' ', contents("/proc/$pid/task/$pid/children")) {
        my @stat = split ' ', contents("/proc/$worker/stat") =~ s/.*\) //r;

        $ticks += $stat[11] + $stat[12];
    }

    return $ticks;
}


sub median {
    my @sorted = sort { $a <=> $b } @_;

    return $sorted[@sorted / 2];
}
