# The file store on a disk that does not answer, and with locks that another
# process holds on to: nobody waits for them without end.

use v5.28;
use warnings;

use Fcntl qw(F_SETLKW F_UNLCK F_WRLCK SEEK_SET);
use FindBin;
use lib "$FindBin::Bin/lib";
use Clients;
use Gateway;
use Test::More;
use Time::HiRes qw(time);

# what comes before nginx in a sanitizer's run excludes it

plan skip_all => 'the disk of this nginx cannot be made to hang'
    if ($ENV{TEST_NGINX_BINARY} // '') =~ /asan/;


my $shim = temp_dir() . '/hanging_disk.so';
system('gcc', '-shared', '-fPIC', '-o', $shim,
       "$FindBin::Bin/lib/hanging_disk.c", '-ldl') == 0
    or die "hanging_disk.c does not compile\n";

my $text = <<'END';
    tbucket_zone $http_x_api_key zone=clients:1m rate=10r/s;
    tbucket_store file:%%DIR%%/store timeout=400ms;
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { tbucket zone=clients; }
        location /clients { tbucket_api zone=clients; }
        location /metrics { tbucket_metrics; }
    }
END

# which of the two depends on whether a save or a write came first

my $hangs = qr/the disk has not answered for 400 ms|a hanging disk keeps/;

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

sub store_up { my ($g) = @_;
               return get($g, '/metrics')->{body}
                   =~ /^tbucket_store_up (\d)$/m ? $1 : undef }

# A lock on all of the folder's lock file, as another program may take.

sub hold
{
    my ($g) = @_;

    open(my $lock, '+<', $g->dir . '/store/lock') or die "lock: $!";
    my $all = pack('s s l! l! i', F_WRLCK, SEEK_SET, 0, 0, 0);
    fcntl($lock, F_SETLKW, $all) or die "fcntl: $!";

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
    ok($g->wait_log(qr/cannot be saved: the disk has not answered for 5000/,
                    15), 'is told by the saves');
    is(store_up($g), 0, 'and shown');
    answer($g);
    is(wait_for(sub { store_up($g) }), 1, 'until it answers');
};

subtest 'a disk that hangs at a start, a reload and a stop' => sub {
    my $g = start();

    is(put($g, 'a', 5, 1), 201, 'a write');

    # a reload goes on without the store

    hang($g);
    my $begin = time();
    $g->mark;
    ok($g->reload($text =~ s/clients:1m/clients:2m/r), 'a reload');
    cmp_ok(time() - $begin, '<', 9, 'ends in time');
    like($g->log, qr/tbucket_store: .*(?:the disk has not answered|disk keeps)/,
         'and says what is missing');
    is(store_up($g), 0, 'which is shown');
    refused($g, 1, qr/could not be read|a hanging disk keeps/,
            'reload');
    is(registered($g)->{a}, '5/1', 'clients are in force');

    answer($g);
    ok($g->reload, 'a reload when it answers');
    is(put($g, 'b', 6, 1), 201, 'takes writes');

    # nginx stops, and does not start

    hang($g);
    $begin = time();
    is($g->stop, 0, 'nginx stops');
    cmp_ok(time() - $begin, '<', 9, 'in time');

    $begin = time();
    eval { $g->start };
    like($@, qr/\[emerg\] .*the disk has not answered for 5 seconds/,
         'and does not start');
    cmp_ok(time() - $begin, '<', 9, 'in time');

    answer($g);
    $g->start;
    is_deeply(registered($g), { a => '5/1', b => '6/1' }, 'nothing is lost');
};

subtest 'a lock that another process holds on to' => sub {
    my $g = start();

    is(put($g, 'a', 5, 1), 201, 'a write');

    my $lock = hold($g);
    refused($g, 2, qr/taking a lock, which another process/, 'lock');
    is(store_up($g), 0, 'store_up');
    close($lock);
    ok(wait_for(sub { put($g, 'b', 5, 1) =~ /^20/ }), 'and taken without it');
    is(wait_for(sub { store_up($g) }), 1, 'store_up');
    $g->quit;

    $lock = hold($g);
    my $begin = time();
    eval { $g->start };
    like($@, qr/\[emerg\] .*taking a lock, which another .*, on ".*lock"/,
         'nginx does not start');
    cmp_ok(time() - $begin, '<', 6, 'and says so in time');
    close($lock);
    $g->start;
    is_deeply([sort keys %{ registered($g) }], ['a', 'b'],
              'nothing is lost');
};

done_testing();
