# The file store: what was answered with 2xx survives, people can edit the
# clients, drained buckets stay drained, and broken files are not used.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Clients;
use Gateway;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);


sub text
{
    my (%o) = @_;

    my $size = $o{size} // '4m';
    my $url  = $o{url} // 'file:%%DIR%%/store';
    my $zone = $o{zone} // 'rate=10r/s capacity=10';

    return <<"END";
        tbucket_zone \$http_x_api_key zone=clients:$size $zone;
        tbucket_store $url;
        client_max_body_size 64m;
        server {
            listen 127.0.0.1:%%PORT%%;
            location / { tbucket zone=clients; }
            location /clients { tbucket_api zone=clients; }
            location /metrics { tbucket_metrics; }
        }
END
}

sub start { my (%o) = @_;
            return gateway(text(%o), workers => $o{workers} // 2) }

sub slurp { my ($path) = @_; open(my $in, '<:raw', $path) or return '';
            local $/; return <$in> }
sub truncate_to { my ($path, $size) = @_; spew($path, '');
                  truncate($path, $size) or die $! }
sub spew  { my ($path, $text) = @_; open(my $out, '>:raw', $path) or die $!;
            print $out $text; close($out) or die $! }

# A file of token states has been written since, and again when asked again.

sub saved_after
{
    my ($g, $at) = @_;

    my $file = store($g) . '/clients.tokens';
    my ($inode, $changed) = (Time::HiRes::stat($file))[1, 10];

    return 0 if !defined $changed || $changed <= $at
                || $inode == ($g->{seen} // 0);
    $g->{seen} = $inode;

    return 1;
}

sub store  { return $_[0]->dir . '/store' }
sub saved  { my ($g) = @_; return decode_json(slurp(store($g)
                                                    . '/clients.json')) }
sub listed { my ($g) = @_; return { map { $_->{client_id} => $_ }
                                    @{ saved($g)->{clients} } } }

# Kills all processes at once and starts nginx again.

sub crash { my ($g) = @_; $g->kill; $g->start }

sub restart { my ($g) = @_; $g->quit; $g->start }

# nginx does not start with such a file, says why, and leaves it alone; then
# the file is as it was.

sub refused
{
    my ($g, $name, $text, $why, $what) = @_;

    my $path = store($g) . "/$name";
    my $old = -e $path ? slurp($path) : undef;
    my %before = map { $_ => 1 } glob(store($g) . '/*'), $path;

    $g->quit if $g->running;
    %before = map { $_ => 1 } glob(store($g) . '/*'), $path;
    $old = slurp($path) if defined $old;
    ref $text ? $text->($path) : spew($path, $text);
    $g->mark;

    eval { $g->start };
    like($@, qr/\[emerg\] .*\Q$name\E/, "$what keeps nginx from starting");
    like($@, $why, 'with the reason');
    is(slurp($path), $text, 'and is left alone') if !ref $text;
    is_deeply([grep { !$before{$_} } glob(store($g) . '/*')], [],
              'with nothing beside it');

    unlink($path);
    spew($path, $old) if defined $old;
}

# How many of n requests are admitted.


subtest 'the folder' => sub {
    my ($code, $err);
    my $g = gateway_unstarted(text());

    ($code, $err) = $g->test;
    is($code, 0, 'nginx -t passes') or diag($err);
    ok(!-e store($g), 'and creates nothing');

    $g = start(url => 'file:%%DIR%%/a/b/store/');
    ok(-d $g->dir . '/a/b/store', 'is created with its parents');
    is((stat(_))[2] & 07777, 0700, 'for its owner only');
    is_deeply([grep { -e && ((stat(_))[2] & 07777) != 0600 }
               glob($g->dir . '/a/b/store/*')], [], 'as are the files in it');
    is(put($g, 'a', 1, 1), 201, 'and it takes a client');

    $g = start(url => 'file:store');
    ok(-e store($g) . '/clients.json', 'a relative path is in the prefix');

    for my $case (['file:', qr/names no folder/],
                  ['file:/x interval=1ms', qr/invalid interval/],
                  ['floppy:/x', qr/unknown scheme "floppy"/])
    {
        ($code, $err) = check(text(url => $case->[0]));
        is($code, 1, "\"$case->[0]\" is refused");
        like($err, $case->[1], 'with the reason');
    }

    spew($g->dir . '/plain', '');
    my $h = gateway_unstarted(text(url => 'file:' . $g->dir . '/plain'));
    eval { $h->start };
    like($@, qr/\[emerg\].*plain/, 'a file in its place keeps nginx from '
                                   . 'starting');
};

subtest 'one nginx at a time' => sub {
    my $g = start();
    my $url = 'file:' . store($g);
    my $h = gateway_unstarted(text(url => $url));

    eval { $h->start };
    like($@, qr/\[emerg\] .*folder ".*store" is in use by another nginx/,
         'a second one does not start');
    is(put($g, 'a', 1, 1), 201, 'the first one goes on');

    ok($g->reload(text(zone => 'rate=11r/s')), 'its reload is none');
    is(put($g, 'b', 1, 1), 201, 'and goes on');
    $g->kill;
    $h->start;
    is_deeply([sort keys %{ registered($h) }], ['a', 'b'],
              'when it is dead the other one takes over');
};

subtest 'what was answered is safe' => sub {
    my $g = start();

    is(api($g, 'POST', '/clients', { client_id => 'u1', capacity => 100,
                                     rate_per_sec => 10 })->{code}, 201,
       'POST');
    is(put($g, 'u2', 20, 0.5), 201, 'PUT');
    is(put($g, 'u3', 30, 1), 201, 'PUT of another one');
    is(put($g, 'u%20%22%C3%A9%0A', 7, 1), 201, 'PUT of an odd id');
    is(api($g, 'PATCH', '/clients/u2', { rate_per_sec => 2.5 })->{code}, 200,
       'PATCH');
    is(api($g, 'DELETE', '/clients/u3')->{code}, 204, 'DELETE');
    is(api($g, 'POST', '/clients',
           [map { { client_id => "b$_", capacity => $_, rate_per_sec => 1 } }
            1 .. 1000])->{code}, 200, 'POST of an array');
    my $at = time();
    is(api($g, 'PATCH', '/clients/u1', { tokens => 3.5 })->{code}, 200,
       'PATCH of tokens');

    crash($g);

    my $all = registered($g);
    is(delete $all->{u1}, '100/10', 'POST');
    is(delete $all->{u2}, '20/2.5', 'PATCH');
    is(delete $all->{"u \"\x{e9}\n"}, '7/1', 'an odd id');
    is(keys %$all, 1000, 'an array');
    is($all->{b77}, '77/1', 'with its limits');

    my $tokens = client_of($g, 'u1')->{tokens};
    my $most = 3.5 + 10 * (time() - $at);
    cmp_ok($tokens, '>=', 3.5, 'PATCH of tokens');
    cmp_ok($tokens, '<=', $most + 0.1, 'and no more than time has earned');

    is(api($g, 'POST', '/clients', { client_id => 'u1', capacity => 1,
                                     rate_per_sec => 1 })->{code}, 409,
       'a conflict is one');
    is(api($g, 'PATCH', '/clients/u1', { tokens => 1000 })->{code}, 400,
       'tokens above the capacity are refused');
};

subtest 'every write that was answered survives kill -9, whole' => sub {
    my $g = start();
    my $rounds = $ENV{TEST_ROUNDS} || 8;
    my (%want, %maybe, @lost, $writes);

    for my $round (1 .. $rounds) {
        my $end = time() + 0.05 + rand(0.3);
        my $n = 0;

        # the killer is a process, the writer is this one

        my $victim = fork() // die "fork: $!\n";
        if ($victim == 0) {
            sleep($end - time()) if $end > time();
            kill('KILL', -$g->pid);
            require POSIX;
            POSIX::_exit(0);
        }

        %maybe = ();

        while (1) {
            my $id = 'c' . int(rand(200));
            my ($method, $uri, $body, $value) = ('PUT', "/clients/$id");
            my %set;

            if (++$n % 10 == 0) {
                my $c = 1 + int(rand(1000));
                %set = map { ("k$_" => "$c/1") } 1 .. 20;
                ($method, $uri) = ('POST', '/clients');
                $body = [map { { client_id => $_, capacity => $c,
                                 rate_per_sec => 1 } } keys %set];
            } elsif ($n % 7 == 0) {
                %set = ($id => undef);
                $method = 'DELETE';
            } else {
                my $c = 1 + int(rand(1000));
                %set = ($id => "$c/2");
                $body = { capacity => $c, rate_per_sec => 2 };
            }

            my $r = api($g, $method, $uri, $body);

            if ($r->{code} == 0) {
                %maybe = %set;
                last;
            }

            $writes++;
            next if $r->{code} == 404;
            push @lost, "code $r->{code}" if $r->{code} !~ /^20/;

            for my $key (keys %set) {
                if (defined $set{$key}) { $want{$key} = $set{$key} }
                else                    { delete $want{$key} }
            }
        }

        waitpid($victim, 0);
        crash($g);

        my $have = registered($g);
        my %changed = map { $_ => 1 }
                      grep { ($have->{$_} // '') ne ($want{$_} // '') }
                      keys %$have, keys %want;
        my $torn = 0;

        for my $key (keys %changed) {
            if (exists $maybe{$key}
                && ($have->{$key} // '') eq ($maybe{$key} // ''))
            {
                $torn++;
            } else {
                push @lost, "$key: " . ($have->{$key} // 'none') . ' for '
                            . ($want{$key} // 'none');
            }
        }

        # of the last write, whose answer never came, all or nothing

        my $differ = grep { ($want{$_} // '') ne ($maybe{$_} // '') }
                     keys %maybe;
        push @lost, "half of a write" if $torn && $torn != $differ;
        %want = %$have;
    }

    is_deeply(\@lost, [], "nothing is lost in $rounds rounds")
        or diag(explain([@lost > 20 ? @lost[0 .. 20] : @lost]));
    cmp_ok($writes, '>', $rounds, "$writes writes");
    is_deeply([glob(store($g) . '/*.bad')], [], 'no file is bad');
};

subtest 'people edit the clients' => sub {
    my $g = start();
    put($g, $_, 10, 1) for qw(a b c);
    $g->quit;

    my $path = store($g) . '/clients.json';
    is_deeply([sort keys %{ listed($g) }], ['a', 'b', 'c'],
              'all are in the file after a stop');
    is(grep({ /^\{"client_id":"b","capacity":10,"rate_per_sec":1\},?$/ }
            split /\n/, slurp($path)), 1, 'one a line');

    my $old = saved($g);
    $old->{clients} = [grep { $_->{client_id} ne 'c' } @{ $old->{clients} }];
    $_->{capacity} = 99 for grep { $_->{client_id} eq 'b' }
                            @{ $old->{clients} };
    push @{ $old->{clients} }, { client_id => 'd', capacity => 5,
                                 rate_per_sec => 0.5 };
    spew($path, JSON::PP->new->pretty->encode($old));

    $g->start;
    is_deeply(registered($g), { a => '10/1', b => '99/1', d => '5/0.5' },
              'at a start, in whatever layout');

    put($g, 'e', 1, 1);
    wait_for(sub { listed($g)->{e} });
    is(admitted($g, 'a', 10), 10, 'a client is drained');

    my $new = slurp($path) =~ s/"a","capacity":10/"a","capacity":20/r
              =~ s/\{"client_id":"d"[^\n]*\n//r =~ s/,\n\]/\n]/r;
    spew($path, $new);

    is(put($g, 'f', 3, 1), 201, 'writes go on before the edit is read');
    ok($g->wait_log(qr/clients.json" was edited, it is read at the next/),
       'it is noticed');
    is(slurp($path), $new, 'and not overwritten');

    ok($g->reload, 'a reload');
    is_deeply(registered($g), { a => '20/1', b => '99/1', e => '1/1',
                                f => '3/1' },
              'takes it up, with what was written since');
    cmp_ok(client_of($g, 'a')->{tokens}, '<', 19, 'tokens stay');
    ok(wait_for(sub { listed($g)->{f} }), 'and the file is kept up again');

    spew($path, '[{"client_id":"z"}]');
    ok($g->reload, 'a broken edit');
    like($g->wait_log(qr/not a file of clients/),
         qr/clients.json" is not a file of clients: line 1: /, 'is told');
    is(scalar keys %{ registered($g) }, 4, 'the clients in force remain');
    is(slurp("$path.bad"), '[{"client_id":"z"}]', 'it is set aside');
    is(scalar keys %{ listed($g) }, 4, 'and the file written anew');

    $g->mark;
    spew($path, slurp($path) =~ s/"b","capacity":99/"b","capacity":0/r);
    ok($g->reload, 'a wrong value');
    like($g->wait_log(qr/client "b"/), qr/line \d+, client "b": capacity is 0, must be an integer from 1/,
         'is told with its client and the range');
    is(registered($g)->{b}, '99/1', 'and nothing of the edit is in force');

    my $wrong = slurp($path) =~ s/"b","capacity":99/"b","capacity":1.5/r;
    refused($g, 'clients.json', $wrong, qr/client "b": capacity is 1.5, must be an integer/,
            'a wrong value at a start');
};

subtest 'broken files' => sub {
    my $g = start();
    put($g, $_, 10, 1) for qw(a b c);
    admitted($g, 'a', 5);
    $g->quit;

    my $path = store($g) . '/clients.json';
    my $text = slurp($path);

    refused($g, 'clients.json', substr($text, 0, length($text) - 20),
            qr/clients.json" is not a file of clients: line \d+/,
            'a torn file of clients');
    refused($g, 'clients.json', "\x7fELF\0\1\2", qr/not a file of clients/,
            'a foreign file');
    refused($g, 'clients.json', '{"zone":"other","clients":[]}',
            qr/clients.json" is a file of zone "other"/,
            'a file of another zone');
    refused($g, 'clients.json', sub { truncate_to($_[0], 3 << 30) },
            qr/larger than one of this zone can be/, 'a file of 3 GB');
    refused($g, 'clients.json', sub { unlink($_[0]);
                                      symlink('/etc/passwd', $_[0]) },
            qr/Too many levels of symbolic links/, 'a symbolic link');

    # journals hold changes that were answered

    $g->start;
    is_deeply([sort keys %{ registered($g) }], ['a', 'b', 'c'],
              'without them all is there');
    $g->kill;

    my ($last) = map { /(\d+)$/ } sort glob(store($g) . '/clients.journal.*');
    my $changes = slurp(store($g) . "/clients.journal.$last");
    refused($g, 'clients.journal.' . ($last + 1), "\x7fELF\0\1\2" x 10,
            qr/no journal of ours/, 'a foreign journal');
    refused($g, 'clients.journal.' . ($last + 9), $changes,
            qr/a journal without the one before/, 'a stray number');
    refused($g, "clients.journal.9223372036854775807", $changes,
            qr/a number that no journal of ours has/, 'the largest number');
    refused($g, "clients.journal.99999999999999999999", $changes,
            qr/a number that no journal of ours has/, 'a larger one');

    spew(store($g) . '/clients.tokens', "\x7fELF\0\1\2");
    $g->mark;
    $g->start;
    like($g->log, qr/clients.tokens.bad"/,
         'a foreign file of tokens is set aside');
    is(put($g, 'n', 1, 1), 201, 'and writes go on');

    # a record that was being appended

    my $h = start(url => 'file:%%DIR%%/store interval=1h');
    put($h, 'a', 10, 1);
    wait_for(sub { listed($h)->{a} });
    put($h, $_, 10, 1) for qw(b c);
    $h->kill;

    my ($journal) = sort { -s $b <=> -s $a }
                    glob(store($h) . '/clients.journal.*');
    cmp_ok(-s $journal, '>', 100, 'two writes are in the journal');
    truncate($journal, (-s $journal) - 3);
    $h->start;
    like($h->log, qr/journal\.\d+" ends in a torn record: \d+ bytes after/,
         'a torn record is told');
    is_deeply([sort keys %{ registered($h) }], ['a', 'b'],
              'and those before it are used');
    is_deeply([glob(store($h) . '/*.bad')], [], 'without a fuss');
};

subtest 'drained buckets' => sub {
    my $g = start(zone => 'rate=2r/s capacity=100');
    put($g, 'r', 50, 4);

    for my $how (qw(quit stop kill)) {
        my $begin = time();
        admitted($g, $_, 100) for qw(r u);
        my $at = time();
        my $left = client_of($g, 'u')->{tokens};

        # kill -9 after an interval: the first file may have been begun before

        if ($how eq 'kill') {
            ok(wait_for(sub { saved_after($g, $at) }), 'they are saved')
                for 1, 2;
        }
        $how eq 'quit' ? $g->quit : $how eq 'stop' ? $g->stop : $g->kill;
        sleep(2);
        $g->start;

        my ($u, $r) = map { client_of($g, $_)->{tokens} } qw(u r);
        my $now = time();

        cmp_ok($u, '>=', 2 * 2 - 0.1, "$how: has what time has earned");
        cmp_ok($u, '<=', $left + 2 * ($now - $at) + 0.2, 'and not more');
        cmp_ok($r, '>=', 4 * 2 - 0.1, 'a registered one as well');
        cmp_ok($r, '<=', 1 + 4 * ($now - $begin) + 0.4, 'and not more');
    }

    admitted($g, 'u', 100);
    sleep(1.2);
    my $before = client_of($g, 'u')->{tokens};
    ok($g->reload, 'a reload');
    my $after = client_of($g, 'u')->{tokens};
    cmp_ok($after, '>=', $before, 'keeps tokens as they are');
    cmp_ok($after, '<', 80, 'and gives none');

    ok($g->reload(text(size => '2m', zone => 'rate=2r/s capacity=100')),
       'another size');
    cmp_ok(client_of($g, 'u')->{tokens}, '<', 90, 'keeps them, too');
    is(registered($g)->{r}, '50/4', 'with the clients');
    is(put($g, 's', 1, 1), 201, 'and the store takes writes');
    crash($g);
    is_deeply([sort keys %{ registered($g) }], ['r', 's'], 'that are safe');
};

subtest 'a disk that is full' => sub {
    plan(skip_all => 'needs to mount a small file system') if $> != 0;

    my $g = gateway_unstarted(text());
    mkdir(store($g), 0700);

    if (system('mount', '-t', 'tmpfs', '-o', 'size=64k,mode=700', 'tmpfs',
               store($g)) != 0)
    {
        plan(skip_all => 'cannot mount a small file system');
    }

    my $done = eval {
        $g->start;
        is(put($g, 'a', 1, 1), 201, 'a write');
        wait_for(sub { listed($g)->{a} });

        open(my $fill, '>', store($g) . '/fill') or die $!;
        1 while syswrite($fill, 'x' x 4096);
        1 while syswrite($fill, 'x');
        close($fill);

        my $bulk = api($g, 'POST', '/clients',
            [map { { client_id => "long-$_-" . 'x' x 200, capacity => 1,
                     rate_per_sec => 1 } } 1 .. 300]);
        is($bulk->{code}, 503, 'a write that has no room is refused');
        is_deeply([keys %{ registered($g) }], ['a'], 'and changes nothing');
        ok($g->wait_log(qr/cannot be saved: .*No space left/),
           'it is told');
        like(get($g, '/metrics')->{body}, qr/^tbucket_store_up 0$/m,
             'and counted');

        unlink(store($g) . '/fill');
        ok(wait_for(sub { put($g, 'b', 1, 1) =~ /^20/ }),
           'with room again, so are writes');
        ok($g->wait_log(qr/clients are saved again/), 'which is told');
        crash($g);
        is_deeply([sort keys %{ registered($g) }], ['a', 'b'],
                  'and they are safe');
        $g->quit;
        1;
    };
    my $error = $@;

    $g->kill;
    system('umount', store($g));
    ok($done, 'to the end') or diag($error);
};

subtest 'many clients' => sub {
    my $g = start(size => '32m', workers => 1);
    my $n = 100_000;

    is(api($g, 'POST', '/clients',
           [map { { client_id => "client-$_", capacity => 100,
                    rate_per_sec => 10 } } 1 .. $n])->{code}, 200,
       "$n at once");
    crash($g);
    is(scalar keys %{ registered($g) }, $n, 'are there after a crash');

    my $begin = time();
    $g->quit;
    $g->start;
    my $took = time() - $begin;
    cmp_ok($took, '<', 25, sprintf('a restart takes %.2f s', $took));

    my $journals = sub { my $sum = 0; $sum += -s $_
                         for glob(store($g) . '/clients.journal.*'); $sum };
    my $size = $journals->();
    is(put($g, 'one-more', 1, 1), 201, 'one more');
    cmp_ok($journals->() - $size, '<', 200,
           'is some bytes in the journal, not all clients anew');
};

done_testing();
