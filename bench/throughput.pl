#!/usr/bin/env perl

# Proxied requests a second, and latency, with many servers: "lb round_robin"
# against nginx's own round robin in a zone with "keepalive".
#
# How: both gateways run all the time in front of the same backend, and wrk
# asks them in turns, A B A B, so that whatever else the machine does hits
# both.  The ratio is the median of the pairs'.
#
# Environment: NGINX_BIN and MODULES (paths), SERVERS (a number), PAIRS,
# SECONDS (of each run), CLIENTS (connections), WORKERS (of each gateway).

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/lib";
use Bench qw(ask backend gateway module servers stop);

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
    . "| pair | nginx | p50 | p99 | lb | p50 | p99 | lb / nginx |\n"
    . "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";

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
    run($_->{port}, 1);
}

my @ratios;

for my $pair (1 .. $pairs) {
    my @figures = map { run($_->{port}, $seconds) } $own, $ours;

    push @ratios, $figures[1]{rate} / $figures[0]{rate};

    printf "| %d |%s %.2f |\n", $pair,
        join('', map { sprintf ' %.0f | %s | %s |', @$_{qw(rate p50 p99)} }
             @figures),
        $ratios[-1];
}

my $median = (sort { $a <=> $b } @ratios)[@ratios / 2];

printf "\nlb / nginx, median: %.2f\n", $median;
printf "missed: less than %d\n", AT_LEAST if $median < AT_LEAST;

stop($_) for $own, $ours, $backend;

exit($median < AT_LEAST);


sub run {
    my ($port, $time) = @_;
    my $out = `wrk -t 1 -c $clients -d ${time}s --latency http://127.0.0.1:$port/ 2>&1`;

    die "wrk: $out\n" if $? || $out =~ /Non-2xx|Socket errors/;

    my ($rate) = $out =~ m{^Requests/sec:\s+([\d.]+)}m
        or die "wrk: $out\n";
    my ($p50) = $out =~ /^\s+50%\s+(\S+)/m;
    my ($p99) = $out =~ /^\s+99%\s+(\S+)/m;

    return { rate => $rate, p50 => $p50, p99 => $p99 };
}
