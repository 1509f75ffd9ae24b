#!/usr/bin/env perl

# Proxied requests a second, and latency, with many servers: "lb round_robin"
# against nginx's own round robin in a zone with "keepalive".
#
# How: both gateways run all the time in front of the same backend, and wrk
# asks them in turns, A B A B, so that whatever else the machine does hits
# both.  With one worker, that has a processor to itself as far as we decide,
# so that the gateway is what limits.  Ratios are medians of the pairs':
#
#   rate    requests a second; says little where others keep wrk, the backend
#           or the gateway waiting
#   CPU     requests for each second of the processor that the workers took
#   user    likewise, of what they took outside the kernel: in it, reading,
#           writing and TCP take the same for both, whoever balances
#
# The target is on the last one, the part of a request that is nginx's work.
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
    . "| lb / nginx, rate | CPU | user |\n"
    . '| ---: ' x 10 . "|\n";

my $backend = backend();
my $servers = servers($n, $backend->{port});

# as many idle connections as lb may keep, within the limit of open files

my $pinned = $workers == 1 && `nproc` > 1;
my $affinity = $pinned ? 'worker_cpu_affinity 01;' : '';
my @wrk = $pinned ? ('taskset', '-c', '1-' . (`nproc` - 1), 'wrk') : 'wrk';

my $own = gateway(workers => $workers, http => '', location => '',
    main => $affinity,
    modules => [], upstream => "zone u 64m;\n$servers\n"
                             . 'keepalive 8000; '
                             . 'keepalive_requests 100000000;');

my $ours = gateway(workers => $workers, http => '', location => '',
    main => $affinity,
    modules => [ module('lb_upstream') ],
    upstream => "lb round_robin;\n$servers\n"
              . 'lb_keepalive 32 requests=100000000;');

for ($own, $ours) {
    ask($_, 2 * $n);
    run($_, 1);
}

my %ratios;

for my $pair (1 .. $pairs) {
    my ($theirs, $ours) = map { run($_, $seconds) } $own, $ours;
    my %ratio = (rate => $ours->{rate} / $theirs->{rate},
                 map { $_ => $theirs->{$_} / $ours->{$_} } qw(cpu user));

    push @{ $ratios{$_} }, $ratio{$_} for keys %ratio;

    printf "| %d |%s %.2f | %.2f | %.2f |\n", $pair,
        join('', map { sprintf ' %.0f | %s | %s |', @$_{qw(rate p50 p99)} }
             $theirs, $ours),
        @ratio{qw(rate cpu user)};
}

my %median = map { $_ => median(@{ $ratios{$_} }) } keys %ratios;

printf "\nlb / nginx, medians: rate %.2f, CPU %.2f, user %.2f\n",
    @median{qw(rate cpu user)};
printf "missed: user less than %d\n", AT_LEAST if $median{user} < AT_LEAST;

stop($_) for $own, $ours, $backend;

exit($median{user} < AT_LEAST);


sub run {
    my ($gateway, $time) = @_;
    my @before = cpu($gateway);
    my $command = "@wrk -t 1 -c $clients -d ${time}s --timeout 30s --latency "
                  . "http://127.0.0.1:$gateway->{port}/";
    my $out = `$command 2>&1`;
    my @after = cpu($gateway);

    die "wrk: $out\n" if $? || $out =~ /Non-2xx|Socket errors/;

    my ($rate) = $out =~ m{^Requests/sec:\s+([\d.]+)}m
        or die "wrk: $out\n";
    my ($requests) = $out =~ /^\s+(\d+) requests in/m
        or die "wrk: $out\n";
    my ($p50) = $out =~ /^\s+50%\s+(\S+)/m;
    my ($p99) = $out =~ /^\s+99%\s+(\S+)/m;

    return { rate => $rate, p50 => $p50, p99 => $p99,
             user => ($after[0] - $before[0]) / $requests,
             cpu => ($after[0] + $after[1] - $before[0] - $before[1])
                    / $requests };
}


# What the workers have had of the processor so far, outside the kernel and
# inside, in ticks.

sub cpu {
    my ($gateway) = @_;
    my $pid = $gateway->{pid};
    my ($user, $kernel) = (0, 0);

    for my $worker (split ' ', contents("/proc/$pid/task/$pid/children")) {
        my @stat = split ' ', contents("/proc/$worker/stat") =~ s/.*\) //r;

        $user += $stat[11];
        $kernel += $stat[12];
    }

    return ($user, $kernel);
}


sub median {
    my @sorted = sort { $a <=> $b } @_;

    return $sorted[@sorted / 2];
}
