# A Redis that refuses, drips, floods, forgets or is not what it was: what it
# says is told once and without secrets, nobody waits for it for long, and
# another one is looked for where that may help.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Clients qw(:store);
use Gateway;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);


my @forked;
my $owner = $$;

END { if ($$ == $owner) { local $?; kill('KILL', @forked) if @forked } }


sub text
{
    my ($url, %o) = @_;

    return stored(join(' ', $url, 'timeout=' . ($o{timeout} // '5s'),
                       $o{store} // ''), %o);
}

sub start { my ($url, %o) = @_;
            return gateway(text($url, %o), workers => $o{workers} // 2) }

sub key   { 'tbucket:{clients}:' . $_[0] }
sub value { sprintf('{"capacity":%s,"rate_per_sec":%s}', @_) }

sub becomes_up { my ($g, $up, $name) = @_;
                 wait_for(sub { store_up($g) eq $up });
                 is(store_up($g), $up, $name) }

# A PUT's whole answer.

sub write_of { my ($g, $id) = @_;
               return api($g, 'PUT', "/clients/$id",
                          { capacity => 1, rate_per_sec => 1 }) }

# Commands that Redis serves in a second.

sub commands
{
    my ($r, $seconds) = @_;

    my $n = sub { $r->command('INFO', 'stats')
                  =~ /total_commands_processed:(\d+)/; return $1 };
    my $before = $n->();
    sleep($seconds);

    return ($n->() - $before) / $seconds;
}

# A server that is no Redis: CODE gets each connection, in a process for it.

sub server
{
    my ($code, %where) = @_;

    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                       Listen => 64, %where)
                 or die "listen: $!\n";
    my $pid = fork() // die "fork: $!\n";

    if ($pid == 0) {
        $SIG{CHLD} = 'IGNORE';
        $SIG{PIPE} = 'DEFAULT';
        POSIX::setpgid(0, 0);
        while (my $c = $listen->accept) {
            my $child = fork() // last;
            if ($child == 0) { $code->($c); POSIX::_exit(0) }
        }
        POSIX::_exit(0);
    }

    POSIX::setpgid($pid, $pid);
    push @forked, -$pid;
    return $listen->sockport;
}

# The next command on a connection, or an empty list.

sub next_command
{
    my ($c) = @_;

    my $n = <$c> // return;
    my @words;

    for (1 .. substr($n, 1)) {
        my $len = substr(<$c> // return, 1);
        read($c, my $word, $len + 2) == $len + 2 or return;
        push @words, substr($word, 0, $len);
    }

    return @words;
}

my $MASTER = "*3\r\n\$6\r\nmaster\r\n:0\r\n*0\r\n";
my $LOADED = "\$40\r\n" . 'a' x 40 . "\r\n";

# One that greets, and leaves the rest to CODE: what it returns is sent.

sub greeter
{
    my ($code) = @_;

    return server(sub {
        my ($c) = @_;
        while (my ($name, @arg) = next_command($c)) {
            syswrite($c, $name eq 'PING' ? "+PONG\r\n"
                         : $name eq 'ROLE' ? $MASTER
                         : $name eq 'SCRIPT' ? $LOADED
                         : $code->($c, $name, @arg) // '');
        }
    });
}

# An address that leads to the port that a file names at the time; what is
# connected stays where it is.

sub address
{
    my ($file, %where) = @_;

    return server(sub {
        my ($c) = @_;
        open(my $in, '<', $file) or return;
        my $to = IO::Socket::INET->new('127.0.0.1:' . <$in>) or return;
        my $select = IO::Select->new($c, $to);
        while (my @ready = $select->can_read) {
            for my $from (@ready) {
                sysread($from, my $bytes, 65536) or return;
                syswrite($from == $c ? $to : $c, $bytes);
            }
        }
    }, %where);
}

sub point { my ($file, $r) = @_; open(my $out, '>', "$file.new") or die $!;
            print $out $r->port; close($out); rename("$file.new", $file) }

# A name server that knows one address for all names: the one in the file.

sub name_server
{
    my ($file) = @_;

    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                       Proto => 'udp') or die "udp: $!\n";
    my $pid = fork() // die "fork: $!\n";

    if ($pid == 0) {
        while (defined $socket->recv(my $query, 512)) {
            open(my $in, '<', $file) or next;
            my ($question) = substr($query, 12) =~ /^(.*?\0.{4})/s;
            $socket->send(substr($query, 0, 2) . pack('n5', 0x8180, 1, 1, 0, 0)
                          . $question . pack('nnnNn', 0xc00c, 1, 1, 0, 4)
                          . pack('C4', split /\./, <$in>));
        }
        POSIX::_exit(0);
    }

    push @forked, $pid;
    return $socket->sockport;
}

# Seconds that something takes.

sub seconds { my ($code) = @_; my $t = time(); $code->(); return time() - $t }

# The most memory that a process has had, kB.

sub memory { my ($pid) = @_; open(my $in, '<', "/proc/$pid/status") or die $!;
             local $/; return <$in> =~ /VmHWM:\s+(\d+)/ ? $1 : die }


# What takes long by itself is waited for at the end: a Redis that needs most
# of the timeout for each page, and has pages without end.

my $slow = fork() // die "fork: $!\n";

if ($slow == 0) {
    $owner = $$;
    my $port = greeter(sub {
        my ($c, $name, @arg) = @_;
        sleep(0.4);
        return "\$-1\r\n" if $name eq 'GET' || $name eq 'SET';
        return "*8\r\n" . "\$3\r\n0-0\r\n" x 2 . ":0\r\n\$1\r\nx\r\n"
               . "\$13\r\n1700000000000\r\n\$1\r\n7\r\n*0\r\n:0\r\n";
    });
    my $g = gateway_unstarted(text("redis://127.0.0.1:$port",
                                   timeout => '1s'));
    my $took = seconds(sub { $g->start });
    my $told = $g->wait_log(qr/is unreachable: it took too long/);
    $g->kill;
    kill('KILL', @forked);
    POSIX::_exit($told ? int($took) : 250);
}


subtest 'a password is told to nobody' => sub {
    my $secret = 's3cr3t-Passw0rd';
    my $r = redis('rename-command' => 'AUTH ""');
    my $sentinel = server(sub {
        my ($c) = @_;
        while (next_command($c)) {
            syswrite($c, "*2\r\n\$9\r\n127.0.0.1\r\n\$"
                         . length($r->port) . "\r\n" . $r->port . "\r\n");
        }
    });
    my $echo = server(sub {
        my ($c) = @_;
        while (my @word = next_command($c)) {
            syswrite($c, "-ERR what is '@word'?\r\n");
        }
    });

    for my $case (['unknown to Redis', 'redis://127.0.0.1:' . $r->port],
                  ['with a user',
                   "redis://ann:$secret\@127.0.0.1:" . $r->port],
                  ['behind a Sentinel',
                   "redis+sentinel://127.0.0.1:$sentinel/m"],
                  ['repeated', "redis://127.0.0.1:$echo"],
                  ['longer than Redis repeats',
                   'redis://:' . $secret x 20 . "\@127.0.0.1:$echo"])
    {
        my $file = temp_dir() . '/secret';
        open(my $out, '>', $file) or die $!;
        print $out "$secret\n";
        close($out);

        my $g = start($case->[1], store => $case->[1] =~ /\@/
                                           ? '' : "password_file=$file");
        my $w = write_of($g, 'a');
        is($w->{code}, 503, "$case->[0]: there is no connection");
        ok($g->wait_log(qr/\[error\].*is unreachable: /), 'which is told');
        $g->quit;
        unlike($g->log . $w->{body}, qr/s3cr3t/, 'but not the password');
    }
};

subtest 'what Redis refuses is told once, and tried less and less' => sub {
    my $r = redis();

    for my $case (['a key of another type', sub {
                       $r->command('DEL', key('clients'));
                       $r->command('SET', key('clients'), 'oops') },
                   qr/WRONGTYPE/],
                  ['a stream that may not be read', sub {
                       $r->command('ACL', 'SETUSER', 'u', '-xread') },
                   qr/NOPERM/],
                  ['no script', sub {
                       $r->command('ACL', 'SETUSER', 'u', '-eval',
                                   '-evalsha') }, qr/NOPERM/])
    {
        for my $scope ('node', 'global') {
            $r->command('FLUSHALL');
            $r->command('ACL', 'SETUSER', 'u', 'reset', 'on', '>pw', '~*',
                        '+@all');
            my $g = start('redis://u:pw@127.0.0.1:' . $r->port,
                          zone => "rate=1r/m capacity=3 scope=$scope",
                          timeout => '300ms');
            wait_for(sub { put($g, 'a', 5, 1) =~ /^20/ });
            $g->mark;
            $case->[1]->();
            ok($g->wait_log($case->[2]), "$case->[0], $scope: is told");
            becomes_up($g, 0, 'and shown');
            get($g, '/none', headers => { 'X-Api-Key' => 'b' });

            my $n = commands($r, 0.7);
            cmp_ok($n, '<', 300, sprintf('%.0f commands a second', $n));
            cmp_ok(count($g, qr/\[error\]/), '<=', 3, 'and few lines')
                or diag($g->log);
            $g->quit;
        }
    }
};

subtest 'a Redis that takes no writes is down, for one reason' => sub {
    my $r = redis();

    for my $case (['OOM', 'maxmemory', 1, 0],
                  ['NOREPLICAS', 'min-replicas-to-write', 3, 0])
    {
        my ($code, $setting, $bad, $good) = @$case;
        my $g = start($r->url);
        like(put($g, 'a', 5, 1), qr/^20/, 'it takes one');
        becomes_up($g, 1, 'it is up');
        $g->mark;

        $r->command('CONFIG', 'SET', $setting, $bad);
        becomes_up($g, 0, "$code: it is down, with nobody writing");
        my $w = write_of($g, 'b');
        is($w->{code}, 503, 'a write is refused');
        like($w->{body}, qr/nothing was changed: $code /, 'with the reason');
        is(count($g, qr/\[error\]/), 1, 'which is one line in the log')
            or diag($g->log);
        like($g->log, qr/\[error\].*writes are refused: $code /, 'this one');

        $r->command('CONFIG', 'SET', $setting, $good);
        ok(wait_for(sub { put($g, 'b', 1, 1) =~ /^20/ }), 'writes go on');
        ok($g->wait_log(qr/\[notice\].*redis refuses nothing any more/),
           'that is told');
        becomes_up($g, 1, 'it is up');
        $g->quit;

        # from the start on

        $r->command('FLUSHALL');
        $r->command('CONFIG', 'SET', $setting, $bad);
        $g = start($r->url);
        becomes_up($g, 0, 'it is down from the start');
        ok(wait_for(sub { write_of($g, 'b')->{body}
                          =~ /nothing was changed: $code / }),
           'for that reason');
        is(count($g, qr/\[error\]/), 1, 'with one line') or diag($g->log);
        $r->command('CONFIG', 'SET', $setting, $good);
        becomes_up($g, 1, 'until it is not');
        is(put($g, 'b', 1, 1), 201, 'writes go on');
        $g->quit;
    }
};

subtest 'a replica is not written to, and not read' => sub {
    my $m = redis();
    my $s = redis(replicaof => $m);
    my $g = start($s->url);

    like($g->log,
         qr/is unreachable: READONLY: its role is "slave", not "master"/,
         'which is why it is not used');
    becomes_up($g, 0, 'it is down');
    like(write_of($g, 'a')->{body}, qr/READONLY: its role is/,
         'the API says the same');
    $s->command('REPLICAOF', 'NO', 'ONE');
    ok(wait_for(sub { put($g, 'a', 1, 1) == 201 }),
       'it is used as soon as it is a master');
    becomes_up($g, 1, 'it is up');
    is(count($g, qr/\[error\]/), 1, 'one line for the loss');
    is(count($g, qr/tbucket_store.*reachable again/), 1,
       'and one for the return');
    $g->quit;

    # one that does not say so is not called reachable time and again

    $s = redis(replicaof => $m);
    $s->command('ACL', 'SETUSER', 'u', 'on', '>pw', '~*', '+@all', '-role');
    $g = start('redis://u:pw@127.0.0.1:' . $s->port);
    becomes_up($g, 0, 'one whose role may not be asked for is down');
    sleep(1.5);
    cmp_ok(count($g, qr/\[error\]/), '<=', 2, 'is told of') or diag($g->log);
    is(count($g, qr/tbucket_store.*reachable again/), 0, 'and not taken back');
    is(store_up($g), 0, 'it stays so');
    $g->quit;
};

subtest 'a master that was demoted is left for the new one' => sub {
    my $file = temp_dir() . '/port';
    my $port = address($file);

    # with ROLE, and where nobody may ask for it

    for my $may ('+role', '-role') {
        my ($old, $new) = (redis(), redis());

        $_->command('ACL', 'SETUSER', 'u', 'on', '>pw', '~*', '+@all', $may)
            for $old, $new;
        point($file, $old);
        my $g = start("redis://u:pw\@127.0.0.1:$port");
        is(put($g, 'a', 5, 0.001), 201, "$may: a write");
        is(admitted($g, 'a', 10), 5, 'limits');
        $g->mark;

        # the address moves; connections stay with the old one

        point($file, $new);
        $old->command('REPLICAOF', '127.0.0.1', $new->port);
        ok(wait_for(sub { put($g, 'b', 6, 1) == 201 }), 'another write');
        is($new->command('HGET', key('clients'), 'b'), value(6, 1),
           'is in the new one');
        is($new->command('HGET', key('clients'), 'a'), value(5, 0.001),
           'as is what it never had');
        becomes_up($g, 1, 'it is up');
        is(admitted($g, 'a', 10), 0, 'limits hold');
        ok(wait_for(sub { put($g, 'c', 1, 1) =~ /^20/ }), 'writes go on')
            for 1 .. 4;
        is(count($g, qr/\[error\]/), 1, 'one line for the loss')
            or diag($g->log);
        ok($g->wait_log(qr/tbucket_store.*reachable again/),
           'one of them for the return');
        is($g->quit, 0, 'a graceful stop ends');
    }
};

subtest 'a name is looked up anew' => sub {
    my ($file, $to) = map { temp_dir() . "/$_" } qw(address port);
    my $set = sub { open(my $out, '>', "$file.new") or die $!;
                    print $out $_[0]; close($out);
                    rename("$file.new", $file) };
    my ($old, $new) = (redis(), redis());

    # the name keeps its port, so the new one is reached at another address

    $set->('127.0.0.1');
    point($to, $new);
    address($to, LocalAddr => '127.0.0.2', LocalPort => $old->port);

    my $dns = name_server($file);
    my $g = gateway("resolver 127.0.0.1:$dns ipv6=off valid=1s;\n"
                    . text('redis://localhost:' . $old->port), workers => 2);
    is(put($g, 'a', 5, 1), 201, 'a write');
    is($old->command('HGET', key('clients'), 'a'), value(5, 1), 'is here');
    $set->('127.0.0.2');
    $old->command('REPLICAOF', '127.0.0.1', $new->port);
    ok(wait_for(sub { put($g, 'b', 6, 1) == 201 }), 'another write');
    is($new->command('HGET', key('clients'), 'b'), value(6, 1),
       'is where the name leads now');
    is($new->command('HGET', key('clients'), 'a'), value(5, 1),
       'as is what it never had');
    becomes_up($g, 1, 'it is up');
    is(count($g, qr/\[error\]/), 1, 'one line for the loss');
    is($g->quit, 0, 'a graceful stop ends');
};

subtest 'a byte now and then keeps nobody waiting' => sub {
    my $drip = server(sub {
        my ($c) = @_;
        next_command($c);
        syswrite($c, '+');
        while (sleep(0.1)) { syswrite($c, 'P') }
    });
    my $g = gateway_unstarted(text("redis://127.0.0.1:$drip",
                                   timeout => '500ms'));
    cmp_ok(seconds(sub { $g->start }), '<', 4, 'nginx starts');
    cmp_ok(seconds(sub { is(put($g, 'a', 1, 1), 503, 'a write is refused') }),
           '<', 2, 'in time');
    cmp_ok(seconds(sub { is($g->stop, 0, 'it stops') }), '<', 4, 'soon');

    # one that greets and then drips

    $drip = greeter(sub { my ($c) = @_;
                          syswrite($c, '*7');
                          while (sleep(0.1)) { syswrite($c, '1') } });
    $g = gateway_unstarted(text("redis://127.0.0.1:$drip",
                                timeout => '500ms'));
    cmp_ok(seconds(sub { $g->start }), '<', 4, 'a reply: nginx starts');
    cmp_ok(seconds(sub { is(put($g, 'a', 1, 1), 503, 'a write is refused') }),
           '<', 2, 'in time');
    cmp_ok(seconds(sub {
        ok($g->reload(text("redis://127.0.0.1:$drip", store => 'prefix=other',
                           timeout => '500ms')), 'it looks again') }),
           '<', 5, 'a reload is soon done');
    cmp_ok(seconds(sub { is($g->stop, 0, 'it stops') }), '<', 4, 'soon');
};

subtest 'a reply is no longer than what was asked for' => sub {
    my %reply = (
        'a long string' => ["\$536870912\r\n", 'x' x 65536],
        'a line without end' => ['+', 'x' x 65536],
        'many small ones' => ["*10000000\r\n", "\$1\r\nx\r\n" x 8192],
        'arrays of arrays' => ["*9000\r\n", "*9000\r\n" . "*0\r\n" x 9000],
        'arrays in arrays' => ["*1\r\n", "*1\r\n" x 8192],
    );

    for my $what (sort keys %reply) {
        my $port = greeter(sub {
            my ($c) = @_;
            syswrite($c, $reply{$what}[0]);
            while (syswrite($c, $reply{$what}[1])) { }
        });
        my $g = start("redis://127.0.0.1:$port", timeout => '3s',
                      workers => 1);
        like($g->log, qr/is unreachable: (?:reply is|.*depth|.*nested)/,
             "$what: is not read");
        is(put($g, 'a', 1, 1), 503, 'a write is refused');
        cmp_ok(memory($_), '<', 60_000, 'little memory is used')
            for $g->pid, $g->workers;
        is($g->quit, 0, 'a graceful stop ends');
        unlike($g->log, qr/exited on signal/, 'nobody is hurt');
    }

    # nor is what nobody asked for

    my $loaded;
    my $port = server(sub {
        my ($c) = @_;
        while (my ($name) = next_command($c)) {
            syswrite($c, $name eq 'ROLE' ? $MASTER
                         : $name eq 'SCRIPT' ? $LOADED : "+PONG\r\n");
            next if $name ne 'SCRIPT' || ++$loaded % 6;
            while (syswrite($c, '+' . 'x' x 65536)) { sleep(0.01) }
        }
    });
    my $g = start("redis://127.0.0.1:$port", workers => 1,
                  timeout => '300ms');
    ok($g->wait_log(qr/reply to no command/), 'a reply to nothing is an end');
    is($g->quit, 0, 'a graceful stop ends');

    # what a person has put there is no reason to read nothing else

    my $r = redis();
    $r->command('HSET', key('clients'), 'long' => 'x' x 3_000_000,
                'y' x 3_000_000 => 1, 'good' => value(7, 1));
    $g = start($r->url);
    is(client_of($g, 'good')->{capacity}, 7, 'a client beside a long value');
    ok($g->wait_log(qr/value of "long" .* is skipped/), 'which is told');
    $r->command('XADD', key('changes'), '*', 'id', 'z' x 10_000_000);
    $r->command('HSET', key('clients'), 'good' => value(8, 1));
    ok(wait_for(sub { client_of($g, 'good')->{capacity} == 8 }),
       'an entry of the stream that is too long is passed over');
    ok(wait_for(sub { put($g, 'good', 9, 1) == 200 }), 'writes go on');
    is($g->quit, 0, 'a graceful stop ends');
};

subtest 'clients that Redis removes by itself are given back' => sub {
    my $r = redis();
    $r->command('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
    my $g = start($r->url, store => 'interval=300ms');
    my $h = start($r->url, store => 'interval=300ms node=h');
    my $re = qr/\[warn\].*maxmemory-policy "allkeys-lru" .* remove clients/;
    ok($g->wait_log($re), 'a policy that allows it is warned of');
    is(put($g, "c$_", $_, 0.001), 201, "a client") for 1 .. 5;
    is(admitted($g, 'c3', 10), 3, 'limits');
    ok(wait_for(sub { client_of($h, 'c5')->{registered} }), 'everywhere');

    # it evicts what is older, and then seems to have taken the hash as well

    my $used = sub { $r->command('INFO', 'memory') =~ /used_memory:(\d+)/;
                     return $1 };
    $r->command('SET', "other:$_", 'x' x 100_000) for 1 .. 40;
    sleep(2.1);
    $r->command('CONFIG', 'SET', 'maxmemory-samples', 64);
    $r->command('CONFIG', 'SET', 'maxmemory', $used->() - 1_000_000);
    ok(wait_for(sub { $r->command('INFO', 'stats')
                      =~ /evicted_keys:[1-9]/ }), 'Redis evicts');
    $r->command('CONFIG', 'SET', 'maxmemory', 0);
    $r->command('DEL', key('clients'));
    ok(wait_for(sub { $r->command('HLEN', key('clients')) == 5 }),
       'what was evicted is back');
    is(client_of($_, 'c4')->{capacity}, 4, 'nobody has lost it') for $g, $h;
    is(admitted($g, 'c3', 10), 0, 'limits hold');
    ok(wait_for(sub {
        grep { $_->log =~ /\[error\].*evicted clients: 0 of 5 are left/ }
             $g, $h
    }), 'it is told');
    is(count($g, $re), 1, 'the warning once');

    # by hand is another thing; who connects anew knows of no eviction since

    for my $gateway ($g, $h) {
        $gateway->quit;
        $gateway->start;
        ok(wait_for(sub { client_of($gateway, 'c4') }), 'clients are read');
    }

    $r->command('DEL', key('clients'));
    for my $gateway ($g, $h) {
        ok(wait_for(sub { !client_of($gateway, 'c4') }),
           'what a person deletes is deleted');
    }
    like($g->log, qr/\[warn\].*has gone from redis, with 5 clients/,
         'which is told, too');
    is(put($g, 'c1', 1, 1), 201, 'writes go on');
    is($_->quit, 0, 'a graceful stop ends') for $g, $h;
};

# Comparisons of $h cannot come to an end, so that it knows of no more clients
# than were changed while it was there.

subtest 'who knows all clients gives them back' => sub {
    my $r = redis(plain => 1);
    my $g = start($r->url);
    is(put($g, 'before', 5, 1), 201, 'a client');
    $r->command('ACL', 'SETUSER', 'u', 'on', '>pw', '~*', '+@all', '-hscan');
    my $h = start($r->url =~ s{//}{//u:pw@}r, store => 'node=h');
    is(put($g, 'after', 6, 1), 201, 'another one');
    ok(wait_for(sub { client_of($h, 'after') }), 'which all know');
    ok(!client_of($h, 'before'), 'unlike the first one');

    my @g = ($g->pid, $g->workers);
    kill('STOP', @g);
    $r->command('FLUSHALL');
    sleep(1.5);
    ok(!$r->command('EXISTS', key('epoch')),
       'who does not know all of them does not begin anew at once');
    kill('CONT', @g);
    ok(wait_for(sub { $r->command('EXISTS', key('epoch')) }), 'another does');
    is($r->command('HGET', key('clients'), 'before'), value(5, 1),
       'with what it alone knew');
    is($r->command('HGET', key('clients'), 'after'), value(6, 1),
       'and all the rest');

    $g->kill;
    $r->command('FLUSHALL');
    ok(wait_for(sub { $r->command('HGET', key('clients'), 'after') }),
       'a node that is alone begins anew with what it knows');
    is($h->quit, 0, 'a graceful stop ends');
};

subtest 'a Redis that comes back as it was some time ago' => sub {
    my $r = redis(plain => 1);
    my $g = start($r->url, store => 'interval=300ms');
    is(put($g, 'old', 5, 0.001), 201, 'a client');
    $r->command('SAVE');
    is(put($g, 'old', 9, 0.001), 200, 'which is changed');
    is(put($g, 'new', 6, 1), 201, 'and another one');
    is(admitted($g, 'old', 20), 5, 'limits');

    $r->kill;
    $r->start_again;
    ok(wait_for(sub { !client_of($g, 'new')
                      && client_of($g, 'old')->{capacity} == 5 }),
       'is the truth');
    is(admitted($g, 'old', 20), 0, 'a drained bucket stays drained');
    ok(wait_for(sub { put($g, 'new', 7, 1) =~ /^20/ }), 'writes go on');
    is($g->quit, 0, 'a graceful stop ends');
};

subtest 'another prefix, another Redis, another name by a reload' => sub {
    my ($r, $other) = map { redis(plain => 1) } 1 .. 2;
    my $g = start($r->url);
    is(put($g, 'a', 5, 1), 201, 'a client');

    ok($g->reload(text($r->url, store => 'prefix=p')), 'a prefix');
    ok(wait_for(sub { put($g, 'b', 6, 1) =~ /^20/ }), 'is used');
    is($r->command('HGET', 'p:{clients}:clients', 'b'),
       value(6, 1), 'with keys of its own');

    ok($g->reload(text($other->url, store => 'prefix=p node=n')),
       'a Redis and a name');
    ok(wait_for(sub { put($g, 'c', 7, 1) =~ /^20/ }), 'are used');
    is($other->command('HGET', 'p:{clients}:clients', 'c'), value(7, 1),
       'at once');
    admitted($g, 'c', 7);
    ok(wait_for(sub { $other->command('EXISTS', 'p:{clients}:tokens:n') }),
       'states are those of the name');

    ok($g->reload(text($r->url)), 'the first again');
    ok(wait_for(sub { join(',', sort keys registered($g)->%*) eq 'a' }),
       'has what it had');
    is($r->command('HKEYS', key('clients'))->@*, 1, 'and no more');
    is($g->quit, 0, 'a graceful stop ends');
    unlike($g->log, qr/\[alert\]|exited on signal/, 'cleanly');
};

# The commands that the documentation lists.

sub documented
{
    open(my $in, '<', "$FindBin::Bin/../../docs/directives.md") or die $!;
    my ($list) = do { local $/; <$in> =~ /^- The user needs (.*?)\.\n/ms };
    return $list =~ /`([A-Z|]+)`/g;
}

subtest 'the commands that the documentation lists are enough' => sub {
    my @commands = documented();
    cmp_ok(scalar @commands, '>', 20, scalar @commands . ' of them');

    my $r = redis();
    $r->command('ACL', 'SETUSER', 'u', 'reset', 'on', '>pw', '~tbucket:*',
                map { '+' . lc } @commands);
    $r->command('ACL', 'LOG', 'RESET');

    for my $scope ('node', 'global') {
        my $g = start('redis://u:pw@127.0.0.1:' . $r->port . '/1',
                      zone => "rate=2r/s capacity=5 scope=$scope",
                      store => "interval=200ms prefix=tbucket:$scope");
        my $h = start('redis://u:pw@127.0.0.1:' . $r->port . '/1',
                      zone => "rate=2r/s capacity=5 scope=$scope",
                      store => "interval=200ms prefix=tbucket:$scope node=h");
        is(put($g, $_, 7, 0.001), 201, "$scope: a client") for 'a', 'd';
        is(api($g, 'PATCH', '/clients/a', { tokens => 3 })->{code}, 200,
           'its tokens');
        is(api($g, 'POST', '/clients', [map { { client_id => "c$_",
               capacity => 1, rate_per_sec => 1 } } 1 .. 300])->{code}, 200,
           'an array');
        is(api($g, 'DELETE', '/clients/c1')->{code}, 204, 'one less');
        ok(wait_for(sub { keys %{ registered($h) } == 301 }),
           'another gateway knows');
        is(admitted($g, 'a', 10), 3, 'limits');
        is(admitted($g, 'd', 10), 7, 'of each');
        is($g->quit, 0, 'a graceful stop ends');
        $g->start;
        is(admitted($g, 'd', 10), 0, 'and a start');
        $r->command('SELECT', 1);
        $r->command('FLUSHDB');
        ok(wait_for(sub { put($h, 'b', 1, 1) =~ /^20/ }), 'what is lost');
        is($r->command('HLEN', "tbucket:$scope:{clients}:clients"), 302,
           'is given back');
        becomes_up($_, 1, 'it is up') for $g, $h;
        is($_->quit, 0, 'a graceful stop ends') for $g, $h;
        unlike($g->log . $h->log, qr/NOPERM|can't run/i, 'no complaint');
    }

    is_deeply($r->command('ACL', 'LOG'), [], 'Redis has refused nothing');
};

# Whoever asks for what is not allowed, Redis writes that down.

subtest 'each of these commands is needed' => sub {
    my @commands = grep { $_ ne 'AUTH' } documented();
    my $r = redis(plain => 1);
    my @idle;

    while (my @some = splice(@commands, 0, 8)) {
        my %g;

        for my $less (@some) {
            my $prefix = lc($less =~ s/\W/-/r);
            $r->command('ACL', 'SETUSER', "u-$prefix", 'reset', 'on', '>pw',
                        '~*', (map { '+' . lc } grep { $_ ne $less }
                               documented()));
            my $url = "redis://u-$prefix:pw\@127.0.0.1:" . $r->port . '/1';
            $g{$less} = gateway(<<"END", workers => 1, log_level => 'notice');
                tbucket_zone \$http_x_api_key zone=clients:1m rate=2r/s
                             capacity=5;
                tbucket_zone \$http_x_api_key zone=all:1m rate=2r/s
                             scope=global;
                tbucket_store $url interval=100ms prefix=$prefix shards=2;
                server {
                    listen 127.0.0.1:%%PORT%%;
                    location / { tbucket zone=clients; tbucket zone=all; }
                    location /clients {
                        tbucket_api zone=clients write=on;
                    }
                }
END
        }

        for my $less (sort keys %g) {
            my $g = $g{$less};
            put($g, $_, 5, 0.001) for 'a', 'b';
            api($g, 'PATCH', '/clients/a', { tokens => 2 });
            api($g, 'DELETE', '/clients/b');
            api($g, 'POST', '/clients', [map { { client_id => "c$_",
                    capacity => 1, rate_per_sec => 1 } } 1 .. 20]);
            admitted($g, 'u', 10);
        }

        # what is lost is given back

        sleep(0.3);
        $r->command('SELECT', 1);
        $r->command('DEL', $_) for @{ $r->command('KEYS', '*:epoch') };
        sleep(0.7);

        for my $less (sort keys %g) {
            $g{$less}->quit;
            $g{$less}->start;
            $g{$less}->quit;
        }

        my %asked = map { my %entry = @$_; lc($entry{object}) => 1,
                          "$entry{username}" => 1 }
                    @{ $r->command('ACL', 'LOG', 128) };
        push @idle, grep { !$asked{ 'u-' . lc(s/\W/-/r) } } @some;
    }

    is("@idle", '', 'one less is missed');
};

subtest 'pages that come slowly, without end' => sub {
    waitpid($slow, 0);
    cmp_ok($? >> 8, '<', 16, sprintf('nginx starts after %d s', $? >> 8));
};

done_testing();
