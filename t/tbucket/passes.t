# Thousands of requests that wait for their turn at once: no pass of the event
# loop takes long, and little memory is theirs.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Gateway::Passes;
use Test::More;
use Time::HiRes qw(sleep);

my $LONGEST = 5;       # ms
my $BYTES   = 600;     # of a limited request that waits, beside limit_req's

my $passes = Gateway::Passes->new
    or plan(skip_all => 'the passes of this nginx cannot be measured');

# nginx closes idle connections when it has few left

my ($files) = `sh -c 'ulimit -n \$(ulimit -H -n); ulimit -n'` =~ /(\d+)/;
my $number = $ENV{WAITING} || 4000;
plan(skip_all => "$files open files are too few for $number requests")
    if $files < 1.2 * $number + 300;
system("prlimit --pid $$ --nofile=$files:") == 0 or die 'prlimit';

# All wait in a worker of their own; returns the longest pass, the bytes that
# each has made of the worker, and what they were answered.

sub wait_for_all
{
    my ($limit) = @_;

    my $g = gateway(<<"END", workers => 1, connections => 1.2 * $number,
        tbucket_zone \$arg_k zone=z:1m rate=1000r/s capacity=1;
        limit_req_zone \$arg_k zone=req:1m rate=1000r/s;
        limit_req_log_level info;
        access_log off;
        server {
            listen 127.0.0.1:%%PORT%% backlog=4096;
            root %%DIR%%/html;
            location / { $limit; try_files /none \@ok; }
            location \@ok { return 204; }
        }
END
                    $passes->options);

    get($g, '/?k=b');
    $passes->read;

    my $before = rss($g);
    my @c = map { client($g) } 1 .. $number;

    $_->send("GET /?k=a HTTP/1.1\r\nHost: a\r\n\r\n") for @c;

    # it has read all of them when the last one's turn is far away

    sleep(0.2);

    my $grown = rss($g) - $before;
    my %codes;
    $codes{$_->response->{code}}++ for @c;

    my ($longest) = $passes->read;
    $g->quit;

    return ($longest, $grown / $number, join ' ', %codes);
}


sub rss
{
    my ($g) = @_;

    my ($kb) = Gateway::slurp('/proc/' . ($g->workers)[0] . '/status')
        =~ /^VmRSS:\s+(\d+)/m;

    return 1024 * $kb;
}


# what nginx itself takes to read so many requests

my ($other, $bytes) = wait_for_all('limit_req zone=req burst=100000');
my ($longest, $grown, $codes) = wait_for_all('tbucket zone=z wait=1m');

is($codes, "204 $number", "$number requests wait, and all are answered");
cmp_ok($longest, '<', $LONGEST + $other,
       sprintf('no pass takes long: %.1f ms, with limit_req %.1f', $longest,
               $other));
cmp_ok($grown - $bytes, '<', $BYTES,
       sprintf('a request takes %.0f bytes, with limit_req %.0f', $grown,
               $bytes));

done_testing();
