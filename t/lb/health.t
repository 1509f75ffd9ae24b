# Health checks on real servers: when a server is out and back again, what
# counts as a failure, who makes the checks, and what a reload leaves alone.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Fcntl qw(O_RDWR);
use Gateway;
use Gateway::Process qw(finish fork_child);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

# seconds that a loaded machine may add to a bound
my $SLACK = 0.35 * ($ENV{TEST_TIME_FACTOR} || 1);

my $LEFT = qr/(\d+) of (\d+) servers left/;


sub upstream
{
    my ($name, $check, @lines) = @_;

    return "upstream $name { lb round_robin; lb_keepalive 0; "
           . "lb_health_check $check; @lines }\n";
}


sub front
{
    my (@names) = @_;

    return "server { listen 127.0.0.1:%%PORT%%; "
           . join('', map { "location /$_ { proxy_pass http://$_; "
                            . "proxy_next_upstream off; } " } @names)
           . "}\n";
}


# How many checks a backend has had.

sub checks
{
    my ($b) = @_;

    return scalar(my @uris = grep { m{^/(?:healthz)?$} } $b->requests);
}


sub changes
{
    my ($g) = @_;

    return grep { /lb: server .* is (?:up|down):/ } split /^/, $g->log;
}


sub took
{
    my ($code) = @_;

    my $begin = time();
    my $line  = $code->();

    return (time() - $begin, $line // '');
}


subtest 'a dead or stopped server is out in time, and back in time' => sub {
    my @b = map { backend(name => $_) } qw(a b c);
    my $g = gateway(upstream('u', 'interval=300ms timeout=400ms uri=/healthz',
                             map { $_->server('max_fails=0') } @b)
                    . front('u'), workers => 2);

    wait_for(sub { !grep { checks($_) < 2 } @b });

    my $down = 3 * 0.3 * 1.1 + 0.4 + $SLACK;
    my $up   = 2 * 0.3 * 1.1 + $SLACK;
    my $who  = quotemeta('server ' . $b[0]->address . ' in upstream "u"');

    $b[0]->kill;
    my ($time, $line) = took(sub { $g->wait_log(qr/is down/) });
    cmp_ok($time, '<', $down, 'out within fall intervals when killed');
    like($line, qr/\[error\].*lb: $who is down: connect\(\) failed \(111: Connection refused\), 3 failures; 2 of 3 servers left$/,
         'which the log tells');

    my $l = load($g, '/u', connections => 4, requests => 40);
    is($l->{codes}{200}, 40, 'requests go to the others');

    $g->mark;
    $b[0]->start_again;
    ($time, $line) = took(sub { $g->wait_log(qr/is up/) });
    cmp_ok($time, '<', $up, 'back within rise intervals');
    like($line, qr/\[notice\].*lb: $who is up: 2 checks passed; 3 of 3 servers left$/,
         'which the log tells');

    $g->mark;
    $b[0]->pause;
    ($time, $line) = took(sub { $g->wait_log(qr/is down/) });
    cmp_ok($time, '<', $down, 'out within fall intervals when stopped');
    like($line, qr/lb: $who is down: timed out \(110: Connection timed out\), 3 failures; 2 of 3 servers left$/,
         'which the log tells');

    $g->mark;
    $b[0]->resume;
    ($time, $line) = took(sub { $g->wait_log(qr/is up/) });
    cmp_ok($time, '<', $up, 'back within rise intervals');
    is(scalar(changes($g)), 1, 'each change is told once');
};


subtest 'a timeout longer than the interval does not add up' => sub {
    my @b = map { backend(name => $_) } qw(a b);
    my $g = gateway(upstream('u', 'interval=100ms timeout=800ms',
                             map { $_->server } @b) . front('u'));

    wait_for(sub { !grep { checks($_) < 2 } @b });

    $b[0]->pause;
    my ($time) = took(sub { $g->wait_log(qr/is down/) });
    cmp_ok($time, '<', 3 * 0.1 * 1.1 + 0.8 + $SLACK, 'out in time');
    cmp_ok($time, '>', 0.8, 'though not before the timeout');
    $b[0]->resume;
    ok($g->wait_log(qr/is up/), 'and back');
};


subtest 'a checker that is stopped or killed fails nobody' => sub {
    my %b = map { $_ => backend(name => $_) } qw(one two);
    my %g = map {
        $_ => gateway(upstream('u', 'interval=500ms timeout=200ms',
                               $b{$_}->server) . front('u'),
                      workers => $_ eq 'one' ? 1 : 2)
    } qw(one two);

    wait_for(sub { !grep { checks($b{$_}) < 2 } qw(one two) });

    # of two workers the checker is the one whose stop ends the checks

    my @workers = $g{two}->workers;
    my ($one)   = $g{one}->workers;
    my $begin   = time();

    CORE::kill('STOP', $one, $workers[0]);
    my $n = checks($b{two});
    ok(wait_for(sub { checks($b{two}) > $n }, 2 * 0.5 * 1.1 + $SLACK),
       'checks go on within two intervals, whichever worker is stopped');

    CORE::kill('CONT', $workers[0]);
    CORE::kill('STOP', $workers[1]);
    $n = checks($b{two});
    ok(wait_for(sub { checks($b{two}) > $n }, 2 * 0.5 * 1.1 + $SLACK),
       'and so when it is the other one');

    my $before = checks($b{one});
    sleep($begin + 3 - time()) if time() < $begin + 3;
    is(checks($b{one}), $before, 'a worker on its own makes none meanwhile');

    CORE::kill('CONT', $one, $workers[1]);
    for my $name (qw(one two)) {
        my $n = checks($b{$name});
        ok(wait_for(sub { checks($b{$name}) >= $n + 4 }),
           "after 3 s of it checks go on, worker of $name");
        is_deeply([changes($g{$name})], [], 'and nobody is down');
    }

    my ($from, $since) = (checks($b{two}), time());
    wait_for(sub { checks($b{two}) >= $from + 3 });
    cmp_ok(time() - $since, '>', 2 * 0.5 * 0.9 - 0.1,
           'with one checker at a time');

    for (@workers) {
        CORE::kill('KILL', $_);
        my $n = checks($b{two});
        ok(wait_for(sub { checks($b{two}) > $n }, 2 * 0.5 * 1.1 + $SLACK),
           'a killed worker is followed within two intervals');
    }

    is_deeply([changes($g{two})], [], 'and nobody is down');
};


# A worker that logs into a full pipe is blocked until somebody reads from it:
# here most of the time, so that a request is sent late and its answer, which
# takes three quarters of the timeout, is awaited beyond it.

subtest 'a checker that is busy fails nobody' => sub {
    my $pipe = temp_dir() . '/pipe';
    POSIX::mkfifo($pipe, 0600) or die "$pipe: $!\n";
    sysopen(my $end, $pipe, O_RDWR) or die "$pipe: $!\n";
    fcntl($end, 1031, 4096) or die "F_SETPIPE_SZ: $!\n";

    my $reader = fork_child(sub {
        while (1) {
            sleep(0.3);
            sysread($end, my $line, 65536);
        }
    });

    my $b = backend(answer => sub { { delay => 0.45 } });
    my $g = gateway(upstream('u', 'interval=500ms timeout=600ms fall=1',
                             $b->server)
                    . "log_format long \$arg_long;"
                    . 'server { listen 127.0.0.1:%%PORT%%; location / '
                    . "{ access_log $pipe long; return 204; } }");

    ok(wait_for(sub { checks($b) > 1 }), 'checks are made');

    my $l = load($g, '/?long=' . 'x' x 5000, seconds => 3);
    cmp_ok($l->{total}, '<', 15, 'requests block the worker');
    cmp_ok(checks($b), '>', 4, 'which goes on with its checks');
    is_deeply([changes($g)], [], 'and nobody is down');

    $b->behave(delay => 5);
    ok($g->wait_log(qr/is down: timed out/), 'unless it is too slow');

    finish($reader);
};


subtest 'what a check asks for and takes for an answer' => sub {
    my $file = temp_dir() . '/asked';
    my $note = sub {
        my ($r) = @_;
        open(my $out, '>>', $file);
        print $out "$r->{method} $r->{uri} $r->{headers}{host}\n";
        return { body => 'x' x 9000 . 'all is well' . 'x' x 9000 };
    };
    my $b     = backend(answer => $note);
    my $bad   = backend(answer => sub { { status => 503 } });
    my $reset = backend(answer => sub { { action => 'mid-header' } });
    my $mute  = backend(answer => sub { { action => 'close' } });
    my $unix  = backend(unix => 1);
    my $gone  = free_port();
    my $every = 'interval=100ms timeout=2s rise=1 fall=1';

    my %u = (
        get     => ['uri=/g?a=b', $b],
        head    => ['method=HEAD uri=/h host=example.com:81', $b],
        options => ['method=OPTIONS uri=*', $b],
        text    => ['"body=all is well" uri=/t', $b],
        wrong   => ['"body=all is ill" uri=/w', $b],
        status  => ['', $bad],
        fine    => ['status=200,500-503', $bad],
        reset   => ['', $reset],
        mute    => ['', $mute],
        unix    => ['uri=/healthz', $unix],
        port    => ['port=' . $bad->port, $b],
        tcp     => ['tcp', $mute],
        refused => ['tcp port=' . $gone, $b],
    );
    my $g = gateway(join('', map { upstream($_, "$every $u{$_}[0]",
                                            $u{$_}[1]->server) } sort keys %u)
                    . front('get'));

    my %reason = (
        wrong   => qr/text is not in the body/,
        status  => qr/status 503/,
        reset   => qr/recv\(\) failed \(104: Connection reset by peer\)|connection closed within the header/,
        mute    => qr/connection closed without a response/,
        port    => qr/status 503/,
        refused => qr/connect\(\) failed \(111: Connection refused\)/,
    );
    for (sort keys %reason) {
        like($g->wait_log(qr/upstream "$_" is down/) // '',
             qr/is down: $reason{$_}, 1 failure; 0 of 1 servers left$/, $_);
    }
    like($g->log, qr/lb: no live servers in upstream "status"/,
         'that none is left is told');
    is(scalar(() = $g->log =~ /"status" failed: status 503, sent with Host "status"$/mg),
       1, 'the first failure says which Host was sent');
    is(scalar(() = $g->log =~ /"port" failed: .*Host "port"$/mg), 1, 'each');
    unlike($g->log, qr/"refused" failed: .*Host/, 'if any was sent');

    ok(wait_for(sub { checks($unix) > 3 }), 'a unix socket is checked');
    my @down = sort map { /upstream "(\w+)" is down/ ? $1 : () } changes($g);
    is_deeply(\@down, [sort keys %reason], 'the others pass, each once');

    open(my $in, '<', $file);
    my %asked = map { $_ => 1 } <$in>;
    ok($asked{"GET /g?a=b get\n"}, 'GET, with the name of the upstream');
    ok($asked{"HEAD /h example.com:81\n"}, 'HEAD, with another host');
    ok($asked{"OPTIONS * options\n"}, 'OPTIONS of the whole server');
};


subtest 'mandatory: down until the first pass' => sub {
    my $b = backend();
    my $d = backend();
    $b->pause;
    $d->kill;

    my $g = gateway(upstream('u', 'interval=100ms timeout=5s rise=3 '
                             . 'mandatory', $b->server)
                    . upstream('d', 'interval=100ms mandatory', $d->server)
                    . upstream('o', 'interval=100ms timeout=5s', $b->server)
                    . front(qw(u d o)));

    is(get($g, '/u')->{code}, 502, 'no request before');
    is(get($g, '/o', timeout => 0.1)->{error}, 'timed out',
       'a server counts as up until probed without it');

    $b->resume;
    like($g->wait_log(qr/is up/), qr/"u" is up: 1 check passed; 1 of 1/,
         'one pass will do');
    is(get($g, '/u')->{code}, 200, 'requests after it');

    ok($g->wait_log(qr/"d" is down: connect.*, 3 failures; 0 of 1/),
       'that it never passes is told');
    my $n = checks($b);
    wait_for(sub { checks($b) > $n + 10 });
    is(scalar(grep { /"d"/ } changes($g)), 1, 'once');
};


subtest 'a reload to other servers leaves nobody without' => sub {
    my ($old, $new, $dead) = map { backend(name => $_) } qw(old new dead);
    my $every = 'interval=200ms timeout=5s mandatory';
    my $conf  = sub {
        return upstream('u', $every, map { $_->server } @_) . front('u');
    };
    my $g   = gateway($conf->($old), workers => 2);
    my $who = sub {
        my %seen;
        $seen{ get($g, '/u')->{headers}{'x-backend'} // 'none' }++ for 1 .. 10;
        return \%seen;
    };

    ok($g->wait_log(qr/is up/), 'a server has passed');
    $new->behave(action => 'hang');
    $dead->kill;

    ok($g->reload($conf->($new, $dead)), 'others take its place');
    ok(wait_for(sub { !$g->old_workers }), 'and new workers');
    ok(wait_for(sub { checks($new) }), 'which check them');
    is_deeply($who->(), { old => 10 }, 'it serves until one of them has passed');
    unlike($g->log, qr/is removed/, 'and is not removed');

    my $n = checks($old);
    ok(wait_for(sub { checks($old) > $n }), 'it is still checked');

    $new->behave;
    like($g->wait_log(qr/is removed/) // '',
         qr/${\ $old->address } in upstream "u" is removed: configuration reloaded/,
         'then it is removed');
    is_deeply($who->(), { new => 10 }, 'and serves no longer');

    $g->mark;
    ok($g->reload($conf->($new, $old)), 'a server that stays');
    ok($g->wait_log(qr/is up/), 'and one that comes');
    ok($g->reload($conf->($new)), 'and goes again');
    ok($g->wait_log(qr/is removed/), 'is removed at once');
};


subtest 'health survives a reload' => sub {
    my @b     = map { backend(name => $_) } qw(a b);
    my @lines = map { $_->server('max_fails=0') } @b;
    my $every = 'interval=200ms timeout=5s fall=1';
    my $g     = gateway(upstream('u', "$every uri=/healthz", @lines)
                        . front('u'), workers => 2);

    $b[0]->behave(status => 500);
    ok($g->wait_log(qr/is down/), 'a server is down');

    my $requests = sub {
        return load($g, '/u', connections => 2, requests => 20)->{codes};
    };

    is($requests->()->{200}, 20, 'and gets no requests');

    $g->mark;
    ok($g->reload(upstream('u', "$every uri=/healthz mandatory", @lines)
                  . front('u')), 'a reload, with mandatory');
    is($requests->()->{200}, 20, 'changes that for none of them');

    my $n = checks($b[1]);
    wait_for(sub { checks($b[1]) > $n + 2 });
    is(scalar(changes($g)), 0, 'nor afterwards');

    $b[1]->behave(action => 'hang');
    ok(wait_for(sub { checks($b[1]) > $n + 5 }), 'probes are under way');
    $g->reload("upstream u { lb round_robin; lb_keepalive 0; @lines }"
               . front('u'));
    ok(wait_for(sub { !$g->old_workers }, 4.5), 'and hold up no old worker');

    $b[1]->behave;
    is_deeply($requests->(), { 200 => 10, 500 => 10 },
              'without checks nobody is unhealthy');

    $g->reload(upstream('u', $every, @lines) . front('u'));
    $b[1]->behave(action => 'hang');
    $n = checks($b[1]);
    wait_for(sub { checks($b[1]) > $n + 1 });

    my $status;
    my ($time) = took(sub { $status = $g->quit });
    is($status, 0, 'a graceful stop');
    cmp_ok($time, '<', 4.5, 'is not held up by probes either');
};


subtest 'checks bring back what failed requests took out' => sub {
    my @b = map { backend(name => $_) } qw(a b);
    my $g = gateway(upstream('u', 'interval=200ms fall=1000 uri=/healthz',
                             map { $_->server('fail_timeout=60s') } @b)
                    . front('u') =~ s/proxy_next_upstream off;//r,
                    workers => 2);

    wait_for(sub { !grep { checks($_) < 2 } @b });

    $b[0]->kill;
    my $l = load($g, '/u', requests => 10);
    is($l->{codes}{200}, 10, 'no client sees that a server is gone');
    like($g->wait_log(qr/is down/), qr/, 1 failure; 1 of 2/,
         'a request took it out');

    $b[0]->start_again;
    my ($time, $line) = took(sub { $g->wait_log(qr/is up/) });
    cmp_ok($time, '<', 2 * 0.2 * 1.1 + $SLACK, 'rise passes bring it back');
    like($line, qr/is up: 2 checks passed; 2 of 2/, 'which is told');

    $g->mark;
    $b[0]->behave(action => 'reset');
    load($g, '/u', requests => 10);
    wait_for(sub { checks($b[0]) > 5 });
    ok(!grep({ /is up/ } changes($g)), 'failing checks do not');
};


subtest 'in a panic servers are used whatever checks say' => sub {
    my @b = map { backend(name => $_, answer => sub {
        my ($r) = @_;
        return { status => $r->{uri} eq '/healthz' ? 500 : 200 };
    }) } qw(a b);
    my $u = upstream('u', 'interval=100ms fall=1 uri=/healthz',
                     map { $_->server } @b);
    my $g = gateway($u =~ s/lb_keepalive 0;/$& lb_panic 50%;/r . front('u'));

    ok(wait_for(sub { changes($g) == 2 }), 'both are down');
    is(load($g, '/u', requests => 20)->{codes}{200}, 20,
       'and both get requests');
    unlike($g->log, qr/no live servers/, 'nobody says that none is left');
};


# 300 lines of one server are 300 servers

subtest 'checks are spread over the interval' => sub {
    my $file = temp_dir() . '/times';
    my $b = backend(answer => sub {
        open(my $out, '>>', $file);
        print $out time() . "\n";
        return {};
    });
    my $g = gateway(upstream('u', 'interval=1s', ($b->server) x 300)
                    . front('u'), workers => 2);

    # a second in which the machine is busy with something else is not one

    my @tenth;
    for my $try (1 .. 20) {
        ok(wait_for(sub { checks($b) >= 600 + 300 * $try }, 60),
           'all are checked');

        open(my $in, '<', $file);
        my @times = <$in>;
        my $start = $times[0] + $try;
        @tenth = (0) x 10;
        $tenth[10 * ($_ - $start)]++
            for grep { $_ >= $start && $_ < $start + 1 } @times;
        last if !grep { $_ < 10 || $_ > 60 } @tenth;
    }

    ok(!grep({ $_ < 10 || $_ > 60 } @tenth),
       'each tenth of it has its share of them') or diag("@tenth");
};

done_testing();
