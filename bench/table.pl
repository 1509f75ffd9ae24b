#!/usr/bin/env perl

# Contention for the table of buckets, its memory, and the processor's time
# that a pass of its ticker takes; see table.c, which this builds and runs.
#
# The ratios are medians of five pairs of runs, one after the other.  With
# fewer processors than processes, processes that wait for the rival's mutex
# leave the processor to its holder: it is spared the contention that more
# processors would bring.
#
# Environment: CC.

use strict;
use warnings;

use File::Temp qw(tempdir);
use FindBin qw($Bin);

use constant {
    FASTER     => 2,           # with four processes on one key
    BYTES      => 32,          # a client
    THEIRS     => 128,         # a state of limit_req, as its documentation says
    LONGEST    => 1000,        # us
};

my $program = tempdir(CLEANUP => 1) . '/table';
my @sources = glob "$Bin/../src/core/limit/tb_table*.c $Bin/../src/core/limit/tb_take.c $Bin/../src/core/limit/tb_bucket.c $Bin/../src/core/limit/tb_plan.c";

system($ENV{CC} || 'cc', '-std=gnu11', '-O2', "-I$Bin/..", '-pthread', '-o',
       $program, "$Bin/table.c", @sources) == 0
    or die "table.c does not compile\n";

my %figure;

for (split /\n/, `$program`) {
    my ($name, $value) = split;
    push @{ $figure{$name} }, $value;
}

die "table failed\n" if $? || !$figure{'tick-longest'};

my $processors = () = contents('/proc/cpuinfo') =~ /^processor\b/mg;
my @missed;

print "### Decisions a second, by processes at once\n\n"
    . "$processors processors, medians of five pairs\n\n"
    . "| keys | processes | mutex, as limit_req | tbucket | ratio |\n"
    . "| ---: | ---: | ---: | ---: | ---: |\n";

for my $keys (1, 100_000) {
    for my $n (1, 2, 4) {
        my @theirs = @{ $figure{"rival-$keys-$n"} };
        my @ours = @{ $figure{"table-$keys-$n"} };
        my $ratio = median(map { $ours[$_] / $theirs[$_] } 0 .. $#ours);

        printf "| %d | %d | %.0f | %.0f | %.2f |\n", $keys, $n,
            median(@theirs), median(@ours), $ratio;

        push @missed, sprintf 'one key, %d processes: %.2f, at least %d', $n,
            $ratio, FASTER if $keys == 1 && $n == 4 && $ratio < FASTER;
    }
}

my ($bytes) = @{ $figure{'slot-bytes'} };

printf "\n### Memory\n\n"
    . "| | bytes a client | clients in 1 MB | in each further MB | ratio |\n"
    . "| :--- | ---: | ---: | ---: | ---: |\n"
    . "| limit_req | %d | 8000 | 8000 | |\n| tbucket | %d | %d | %d | %.2f |\n",
    THEIRS, $bytes, $figure{'first-megabyte'}[0], $figure{'next-megabyte'}[0],
    $bytes / THEIRS;

push @missed, "$bytes bytes a client" if $bytes != BYTES;

my ($longest) = @{ $figure{'tick-longest'} };
my ($buckets, $ticks, $sum) = map { $figure{"tick-$_"}[0] }
                              qw(buckets number sum);

printf "\n### The ticker with a million drained buckets\n\n"
    . "| buckets | ticks | us in all | ns a bucket | longest pass, us |\n"
    . "| ---: | ---: | ---: | ---: | ---: |\n| %d | %d | %d | %.1f | %d |\n",
    $buckets, $ticks, $sum, 1000 * $sum / $buckets, $longest;

push @missed, "a pass of $longest us" if $longest > LONGEST;

print "\nmissed: $_\n" for @missed;

exit(@missed ? 1 : 0);


sub median {
    my @sorted = sort { $a <=> $b } @_;

    return $sorted[@sorted / 2];
}


sub contents {
    my ($path) = @_;

    open my $file, '<', $path or return '';
    local $/;

    return <$file> // '';
}
