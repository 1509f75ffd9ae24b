# A flood of made-up keys in a zone of 1 MB frees no drained client and
# creates no token.  TBUCKET_FLOOD_KEYS makes it larger.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(time);

my $keys = $ENV{TBUCKET_FLOOD_KEYS} // 100_000;


# N requests, pipelined in batches; returns how many had each status.

sub pipeline
{
    my ($g, $uri, $n) = @_;

    my $sock = IO::Socket::INET->new('127.0.0.1:' . $g->port)
        or die "connect: $!\n";
    my $request = "GET $uri HTTP/1.1\r\nHost: a\r\n\r\n";
    my %codes;

    while ($n > 0) {
        my $batch = $n < 200 ? $n : 200;
        $n -= $batch;

        syswrite($sock, $request x $batch) or die "write: $!\n";

        my ($in, $left) = ('', $batch);

        while ($left > 0) {
            sysread($sock, $in, 65536, length $in) or die "closed\n";

            # a status line and its headers; refusals have a body of 44

            while ($in =~ m{^HTTP/1\.1 (\d+) .*?\r\n\r\n}s) {
                my ($code, $size) = ($1, $+[0] + ($1 == 429 ? 44 : 0));
                last if length $in < $size;

                substr($in, 0, $size) = '';
                $codes{$code}++;
                $left--;
            }
        }
    }

    return \%codes;
}


for my $capacity (1, 1000) {
    my $g = gateway(<<"END", workers => 2, log_level => 'notice');
    map \$uri \$key { /made-up \$request_id; default \$arg_key; }
    tbucket_zone \$key zone=z:1m rate=1r/d capacity=$capacity;
    server {
        listen 127.0.0.1:%%PORT%%;
        root %%DIR%%/html;
        access_log off;
        keepalive_requests 1000000;
        tbucket zone=z;
        tbucket_headers off;
        tbucket_log_level info;
        try_files /none \@ok;
        location \@ok { return 204; }
    }
END

    my $begin = time();
    my @drained = map { "/?key=drained$_" } 1 .. 5;

    for (@drained) {
        is(pipeline($g, $_, $capacity)->{204}, $capacity,
           "capacity $capacity: a client drains its bucket");
    }

    my $admitted = 0;
    my %again;

    for (1 .. 20) {
        $admitted += pipeline($g, '/made-up', $keys / 20)->{204} // 0;
        $again{ get($g, $_)->{code} }++ for @drained;
    }

    is_deeply(\%again, { 429 => 100 },
              "capacity $capacity: drained clients stay refused throughout");

    # what the table can hold at most, and what it earns in that time

    my $slots = 3 / 4 * 1024 * 1024 / 32;
    my $most  = $slots * ($capacity + (time() - $begin) / 86400);

    cmp_ok($admitted, '<=', $most,
           "capacity $capacity: no more is admitted than the table held");
    cmp_ok($admitted, '>=', $capacity == 1 ? 24_000 : $keys,
           "capacity $capacity: nor less");

    is($g->quit, 0, "capacity $capacity: nginx stops");
}

subtest 'buckets that are full again make room' => sub {
    my $g = gateway(<<'END', log_level => 'notice');
    map $uri $key { /made-up $request_id; default $arg_key; }
    tbucket_zone $key zone=z:32k rate=10r/s capacity=1;
    tbucket_refill 10ms;
    server {
        listen 127.0.0.1:%%PORT%%;
        root %%DIR%%/html;
        access_log off;
        tbucket zone=z;
        tbucket_headers off;
        tbucket_log_level info;
        keepalive_requests 1000000;
        try_files /none @ok;
        location @ok { return 204; }
    }
END

    cmp_ok(pipeline($g, '/made-up', 5000)->{429}, '>', 0, 'the zone is full');
    ok(wait_for(sub { get($g, '/?key=' . rand)->{code} == 204 }, 5),
       'until the buckets have refilled');
    is(wait_for(sub { (pipeline($g, '/made-up', 100)->{204} // 0) == 100 }, 5),
       1, 'all of them');
};

done_testing();
