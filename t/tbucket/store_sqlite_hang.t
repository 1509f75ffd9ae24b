# The SQLite store on a disk that does not answer, and with locks that another
# process holds on to: nobody waits for them without end.

use v5.28;
use warnings;

use Fcntl qw(F_SETLKW F_UNLCK F_WRLCK SEEK_SET);
use FindBin;
use lib "$FindBin::Bin/../lib";
use Clients qw(:store);
use Gateway;
use Test::More;
use Time::HiRes qw(time);

# what comes before nginx in a sanitizer's run excludes it

plan skip_all => 'the disk of this nginx cannot be made to hang'
    if ($ENV{TEST_NGINX_BINARY} // '') =~ /asan/;


my $shim = temp_dir() . '/hanging_disk.so';
system('gcc', '-shared', '-fPIC', '-o', $shim,
       "$FindBin::Bin/../lib/hanging_disk.c", '-ldl') == 0
    or die "hanging_disk.c does not compile\n";

my $text = stored('sqlite:%%DIR%%/store/c.db timeout=400ms',
                  zone => 'rate=10r/s', size => '1m');

my $hangs = qr/the disk does not answer/;

sub start
{
    my $flag = temp_dir() . '/hangs';
    my $g = gateway($text, workers => 1,
                    env => { LD_PRELOAD => $shim, HANGING_DISK => $flag });
    $g->{flag} = $flag;

    return $g;
}

sub hang { my ($g) = @_; open(my $out, '>', $g->{flag}) or die $! }
sub answer { my ($g) = @_; unlink($g->{flag}) or die $! }

# The lock of those who write, as another program may take.

sub hold
{
    my ($g) = @_;

    open(my $lock, '+<', $g->dir . '/store/c.db-lock') or die "lock: $!";
    my $one = pack('s s x4 q q i', F_WRLCK, SEEK_SET, 0, 1, 0);
    fcntl($lock, F_SETLKW, $one) or die "fcntl: $!";

    return $lock;
}

# n writes at once, all of which are refused in little more than the timeout.

sub refused
{
    my ($g, $n, $why, $what) = @_;

    my $begin = time();
    my @c = map { client($g) } 1 .. $n;
    my $body = '{"capacity":5,"rate_per_sec":1}';

    $c[$_]->send("PUT /clients/$what-$_ HTTP/1.1\r\nHost: a\r\n"
                 . "Content-Type: application/json\r\nContent-Length: "
                 . length($body) . "\r\n\r\n$body") for 0 .. $#c;

    for (@c) {
        my $r = $_->response;
        is($r->{code}, 503, "$what: a write is refused");
        like($r->{body}, $why, 'with the reason');
    }

    cmp_ok(time() - $begin, '<', 5, 'in time');
}


subtest 'a disk that hangs while writes come' => sub {
    my $g = start();

    is(put($g, 'before', 5, 1), 201, 'a write');
    is(store_up($g), 1, 'store_up');
    hang($g);

    # the first is with the disk, the others wait for it

    refused($g, 3, $hangs, 'late');
    ok($g->wait_log(qr/clients cannot be saved: $hangs/), 'it is told');
    is(store_up($g), 0, 'and shown');

    refused($g, 1, $hangs, 'later');
    is(get($g, '/')->{code}, 403, 'requests are answered');

    answer($g);
    ok(wait_for(sub { put($g, 'after', 5, 1) =~ /^20/ }),
       'when it answers, writes are taken again');
    ok($g->wait_log(qr/clients are saved again/), 'which is told');
    is(wait_for(sub { store_up($g) }), 1, 'and shown');

    # what was with the disk has been done, what waited has not

    my %all = %{ registered($g) };
    is($all{"later-0"}, undef, 'what was refused at once is not there');
    $g->kill;
    $g->start;
    is_deeply(registered($g), \%all, 'what is in force is what is safe');
    is($g->quit, 0, 'nginx stops');
};

subtest 'a disk that hangs while nothing is written' => sub {
    my $g = start();

    is(put($g, 'a', 5, 1), 201, 'a write');
    get($g, '/', headers => { 'X-Api-Key' => 'a' });
    hang($g);
    get($g, '/', headers => { 'X-Api-Key' => 'a' });
    ok($g->wait_log(qr/token states cannot be saved: $hangs/, 15),
       'is told by the saves');
    is(store_up($g), 0, 'and shown');
    answer($g);
    is(wait_for(sub { store_up($g) }), 1, 'until it answers');
};

subtest 'a disk that hangs at a start, a reload and a stop' => sub {
    my $g = start();

    is(put($g, 'a', 5, 1), 201, 'a write');

    # a reload goes on, with what can be read

    hang($g);
    my $begin = time();
    ok($g->reload($text =~ s/clients:1m/clients:2m/r), 'a reload');
    cmp_ok(time() - $begin, '<', 9, 'ends in time');
    refused($g, 1, qr/$hangs|database is locked/, 'reload');
    is(store_up($g), 0, 'which is shown');
    is(registered($g)->{a}, '5/1', 'clients are in force');

    answer($g);
    ok(wait_for(sub { put($g, 'b', 6, 1) =~ /^20/ }),
       'when it answers, writes are taken again');

    # nginx stops, and does not start with a new file

    hang($g);
    $begin = time();
    is($g->stop, 0, 'nginx stops');
    cmp_ok(time() - $begin, '<', 9, 'in time');

    my $h = gateway_unstarted($text, env => { LD_PRELOAD => $shim,
                                              HANGING_DISK => $g->{flag} });
    $begin = time();
    eval { $h->start };
    like($@, qr/\[emerg\] .*the disk has not answered for 5 seconds/,
         'and does not start');
    cmp_ok(time() - $begin, '<', 9, 'in time');

    answer($g);
    $g->start;
    is(registered($g)->{$_}, { a => '5/1', b => '6/1' }->{$_},
       "$_ is not lost") for qw(a b);
};

subtest 'a lock that another process holds on to' => sub {
    my $g = start();

    is(put($g, 'a', 5, 1), 201, 'a write');

    my $lock = hold($g);
    refused($g, 2, qr/c\.db-lock\\": is locked by another process/, 'lock');
    is(store_up($g), 0, 'store_up');
    close($lock);
    ok(wait_for(sub { put($g, 'b', 5, 1) =~ /^20/ }), 'and taken without it');
    is(wait_for(sub { store_up($g) }), 1, 'store_up');
    $g->quit;

    $lock = hold($g);
    my $begin = time();
    eval { $g->start };
    like($@, qr/\[emerg\] .*c\.db-lock": is locked by another process/,
         'nginx does not start');
    cmp_ok(time() - $begin, '<', 6, 'and says so in time');
    close($lock);
    $g->start;
    is_deeply([sort keys %{ registered($g) }], ['a', 'b'],
              'nothing is lost');
};

done_testing();
