#!/usr/bin/env perl

# How long the refill ticker, and who reads the metrics, keep nginx from its
# requests: the processor's time of the longest pass of the event loop, in an
# nginx with a million live buckets in a zone and beside it in one with none.
#
# How: a request for each of as many keys makes the buckets, which then refill
# for SECONDS, in each of which the metrics are read; lib/passes.c, preloaded,
# measures the passes.
#
# Environment: NGINX_BIN and MODULES (paths), CC, BUCKETS, SECONDS.

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/lib";
use Bench qw(backend exchange free_port gateway get module passes servers
             stop watched);
use List::Util qw(min);
use Time::HiRes qw(sleep);

use constant {
    BATCH   => 100,            # requests that are sent at a time
    CHUNK   => 10_000,         # and that are made up at a time
    LONGEST => 1,              # ms
    COUNTED => 60,             # s until all buckets have been counted
};

my $buckets = $ENV{BUCKETS} || 1_000_000;
my $seconds = $ENV{SECONDS} || 20;
my $backend = backend();

my @rows = map { measure($_) } 0, $buckets;

printf "### The longest pass of the event loop while buckets refill\n\n"
    . "ms of the processor's time, %d s, tbucket_refill of 100 ms, metrics "
    . "read once a second\n\n"
    . "| live buckets | passes | mean | longest | / longest without |\n"
    . "| ---: | ---: | ---: | ---: | ---: |\n", $seconds;

printf "| %d | %d | %.3f | %.2f | %.1f |\n", @$_, $_->[3] / $rows[0][3]
    for @rows;

if ($rows[1][0] < 0.99 * $buckets || $rows[1][3] > LONGEST) {
    print "\nmissed: $buckets buckets, no pass above ${\LONGEST} ms\n";
    exit 1;
}


sub measure {
    my ($n) = @_;
    my $metrics = free_port();
    my $nginx = watched(sub {
        gateway(workers => 1, modules => [ module('tbucket') ],
                upstream => servers(1, $backend->{port}),
                location => "tbucket zone=z;\ntry_files /none =204;",
                http => <<"EOF")
    tbucket_zone \$http_x_api_key zone=z:80m rate=1r/d capacity=1000;
    server {
        listen 127.0.0.1:$metrics;
        location / { tbucket_metrics; }
    }
EOF
    });

    fill($nginx, $n) if $n;

    my $live;

    # the ticker counts them as it passes by

    for (1 .. COUNTED) {
        $live = counted($metrics);
        last if $live >= 0.99 * $n;
        sleep 1;
    }

    passes($nginx);

    for (1 .. $seconds) {
        $live = counted($metrics);
        sleep 1;
    }

    my ($longest, $sum, $number) = passes($nginx);

    stop($nginx);

    return [ $live, $number, $number ? $sum / $number : 0, $longest ];
}


# How many buckets the metrics tell of.

sub counted {
    my ($port) = @_;
    my $text = get("http://127.0.0.1:$port/");

    return $text =~ /^tbucket_buckets\{zone="z"\} (\d+)$/m
        ? $1 : die "no figure in: $text\n";
}


# One request for each of so many keys.

sub fill {
    my ($nginx, $n) = @_;

    for (my $i = 0; $i < $n; $i += CHUNK) {
        exchange($nginx, 204, BATCH,
                 map { "GET / HTTP/1.1\r\nHost: a\r\nX-Api-Key: $_\r\n\r\n" }
                     $i .. min($i + CHUNK, $n) - 1);
    }
}
