# The SQLite store: what was answered with 2xx survives, people edit the
# clients with any tool, drained buckets stay drained, and what is no such
# database is left alone.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Clients qw(:store);
use Gateway;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);


sub text
{
    my (%o) = @_;

    return stored($o{url} // 'sqlite:%%DIR%%/store/c.db',
        zone   => 'rate=10r/s capacity=10',
        http   => 'tbucket_zone $arg_other zone=other.zone:1m rate=1r/m;',
        server => 'location /others { tbucket_api zone=other.zone write=on; }',
        %o);
}

sub start { my (%o) = @_;
            return gateway(text(%o), workers => $o{workers} // 2) }

sub slurp { my ($path) = @_; open(my $in, '<:raw', $path) or return '';
            local $/; return <$in> }
sub spew  { my ($path, $text) = @_; open(my $out, '>:raw', $path) or die $!;
            print $out $text; close($out) or die $! }

my $limits = 'clients (zone, id, capacity, rate_per_sec)';

sub file { return $_[0]->dir . '/store/c.db' }

# What the command line's sqlite3 says to these statements.

sub sql
{
    my ($g, @sql) = @_;

    my $path = ref $g ? file($g) : $g;

    open(my $out, '-|', 'sh', '-c',
         'exec sqlite3 -cmd ".timeout 5000" "$0" "$1" 2>&1', $path,
         join('; ', @sql)) or die "sqlite3: $!\n";
    local $/;
    my $text = <$out> // '';
    close($out);

    return $text =~ s/\n\z//r;
}

sub crash   { my ($g) = @_; $g->kill; $g->start }
sub restart { my ($g) = @_; $g->quit; $g->start }

# Waits for clients to be these: id => "capacity/rate".

sub become
{
    my ($g, $want, $what) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $have;
    my $json = JSON::PP->new->canonical;

    wait_for(sub { $have = registered($g);
                   $json->encode($have) eq $json->encode($want) });
    is_deeply($have, $want, $what);
}

sub metric { my ($g, $name) = @_;
             return (get($g, '/metrics')->{body} =~ /^\Q$name\E (\S+)$/m)[0] }

# Why a gateway does not start, and how long that takes.

sub reason
{
    my ($g) = @_;

    my $begin = time();
    $g->mark;
    my $ok = eval { $g->start; 1 };
    $g->kill if $ok;

    return ($ok ? 'it started' : $@ . $g->log, time() - $begin);
}


subtest 'the file' => sub {
    my ($code, $err);
    my $g = gateway_unstarted(text());

    ($code, $err) = $g->test;
    is($code, 0, 'nginx -t passes') or diag($err);
    ok(!-e $g->dir . '/store', 'and creates nothing');

    $g = start(url => 'sqlite:%%DIR%%/a/b/store/x.db');
    ok(-d $g->dir . '/a/b/store', 'its folder is created with its parents');
    is((stat(_))[2] & 07777, 0700, 'for its owner only');
    is(put($g, 'a', 1, 1), 201, 'it takes a client');
    is_deeply([grep { -e && ((stat(_))[2] & 07777) != 0600 }
               glob($g->dir . '/a/b/store/*')], [],
              'and all files are for their owner only');

    $g = start(url => 'sqlite:store/c.db');
    ok(-e file($g), 'a relative path is in the prefix');

    for my $case (['sqlite:', qr/names no file/],
                  ['sqlite:/x/', qr/names no file/],
                  ['sqlite:/x interval=1ms', qr/invalid interval/],
                  ['sqlite:/x password_file=/y', qr/password_file/])
    {
        ($code, $err) = check(text(url => $case->[0]));
        is($code, 1, "\"$case->[0]\" is refused");
        like($err, $case->[1], 'with the reason');
    }
};

subtest 'what is no such database keeps nginx from starting' => sub {
    my $g = start();
    put($g, $_, 10, 1) for 'a' .. 'z';
    $g->quit;

    my $path = file($g);
    my $whole = slurp($path);

    my %broken = (
        'garbage'    => ["\x7fELF\0\1\2" x 5000, qr/not a database/],
        'torn'       => [substr($whole, 0, length($whole) - 5000),
                         qr/malformed|corrupt|database/],
        'a newer one' => [$whole, qr/has schema 99, this version knows/,
                          'PRAGMA user_version = 99'],
        'a damaged page' => [do { my $t = $whole;
                                  substr($t, $_ * 4096, 50) = "\xff" x 50 for 2 .. 5;
                                  $t }, qr/c\.db/],
    );

    for my $name (sort keys %broken) {
        my ($text, $re, $sql) = @{ $broken{$name} };

        spew($path, $text);
        sql($g, $sql) if $sql;
        my $before = slurp($path);

        my ($why, $time) = reason($g);
        like($why, qr/\[emerg\].*$re/, "$name is told");
        ok(slurp($path) eq $before, 'and left alone');
    }

    unlink($path);
    sql($g, 'CREATE TABLE x (y)');
    my $before = slurp($path);
    my ($why) = reason($g);
    like($why, qr/\[emerg\].*something else/, 'a foreign one is told');
    ok(slurp($path) eq $before, 'and left alone');

    unlink($path);
    mkdir($path);
    ($why) = reason($g);
    like($why, qr/\[emerg\].*c\.db": is not a regular file/, 'a folder');
    rmdir($path);

    spew($path, $whole);
    $g->start;
    is(scalar keys %{ registered($g) }, 26, 'the whole one is used');
};

subtest 'what was answered is safe' => sub {
    my $g = start();

    is(api($g, 'POST', '/clients', { client_id => 'u1', capacity => 100,
                                     rate_per_sec => 10 })->{code}, 201,
       'POST');
    is(put($g, 'u2', 20, 0.5), 201, 'PUT');
    is(put($g, 'u3', 30, 1), 201, 'PUT of another one');
    is(put($g, 'u%20%22%C3%A9%0A', 7, 1), 201, 'PUT of an odd id');
    is(put($g, 'slow', 7, 0.0000116), 201, 'PUT of the lowest rate');
    is(put($g, 'fast', 1000000, 1000000), 201, 'PUT of the highest');
    is(api($g, 'PATCH', '/clients/u2', { rate_per_sec => 2.5 })->{code}, 200,
       'PATCH');
    is(api($g, 'DELETE', '/clients/u3')->{code}, 204, 'DELETE');
    is(api($g, 'POST', '/clients',
           [map { { client_id => "b$_", capacity => $_, rate_per_sec => 1 } }
            1 .. 1000])->{body} =~ s/\n//r, '{"created":1000,"updated":0}',
       'POST of an array');
    is(api($g, 'POST', '/clients', [])->{body} =~ s/\n//r,
       '{"created":0,"updated":0}', 'POST of an empty one');
    my $at = time();
    is(api($g, 'PATCH', '/clients/u1', { tokens => 3.5 })->{code}, 200,
       'PATCH of tokens');

    my $before = registered($g);
    crash($g);

    my $all = registered($g);
    is_deeply($all, $before, 'all are there after kill -9');
    is(delete $all->{u1}, '100/10', 'POST');
    is(delete $all->{u2}, '20/2.5', 'PATCH');
    is(delete $all->{"u \"\x{e9}\n"}, '7/1', 'an odd id');
    is(delete $all->{fast}, '1000000/1000000', 'the highest rate');
    ok(delete $all->{slow}, 'the lowest');
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
    is(api($g, 'DELETE', '/clients/nobody')->{code}, 404, 'as is nobody');
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
            my ($method, $uri, $body) = ('PUT', "/clients/$id");
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
    is(sql($g, 'PRAGMA integrity_check'), 'ok', 'the database is sound');
};

subtest 'people edit the clients' => sub {
    my $g = start(url => 'sqlite:%%DIR%%/store/c.db interval=300ms');
    put($g, $_, 10, 1) for qw(a b c);
    admitted($g, 'a', 10);

    is(sql($g, "SELECT * FROM clients ORDER BY id"),
       join("\n", map { "clients|$_|10|1||||0|0" } qw(a b c)),
       'they are rows');

    sql($g, "UPDATE clients SET capacity = 20, rate_per_sec = 0.001"
            . " WHERE id = 'a'",
            "DELETE FROM clients WHERE id = 'b'",
            "UPDATE clients SET id = 'd' WHERE id = 'c'",
            "INSERT INTO $limits VALUES ('clients', 'e', 5, 0.5)",
            "INSERT OR REPLACE INTO $limits VALUES ('clients', 'e', 6, 0.5)",
            "INSERT INTO $limits VALUES ('other.zone', 'o', 7, 7)");
    become($g, { a => '20/0.001', d => '10/1', e => '6/0.5' },
           'what they change is in force');
    cmp_ok(client_of($g, 'a')->{tokens}, '<', 15, 'tokens stay');
    is(get($g, '/others/o')->{code}, 200, 'in another zone, too');

    sql($g, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
            . " WHERE i < 5000)"
            . " INSERT INTO $limits SELECT 'clients', 'n' || i, 5, 5 FROM n");
    ok(wait_for(sub { keys %{ registered($g) } == 5003 }), '5,000 at once');
    sql($g, "DELETE FROM clients WHERE id LIKE 'n%'");
    become($g, { a => '20/0.001', d => '10/1', e => '6/0.5' },
           'and none of them');

    spew($g->dir . '/c.csv', "clients,i,3,0.5\nother.zone,i,1,1\n");
    system('sqlite3', '-cmd', '.timeout 5000', file($g),
           '.import --csv ' . $g->dir . '/c.csv clients');
    become($g, { a => '20/0.001', d => '10/1', e => '6/0.5', i => '3/0.5' },
           'as is a list that is imported');
    sql($g, "DELETE FROM clients WHERE id = 'i'");

    for my $case (["'', 1, 1", 'id is 1 to 255 bytes'],
                  ["'x', 0, 1", 'capacity is an integer from 1 to 1000000'],
                  ["'x', 1.5, 1", 'capacity is an integer'],
                  ["'x', 'many', 1", 'capacity is an integer'],
                  ["'x', 1, 0", 'rate_per_sec is a number from'],
                  ["'x', 1000001, 1", 'capacity is an integer from 1 to'],
                  ["'x', 1, 1000001", 'rate_per_sec is a number from'],
                  ["'x', 1, NULL", 'capacity and rate_per_sec go together'])
    {
        like(sql($g, "INSERT INTO $limits VALUES ('clients', $case->[0])"),
             qr/\Q$case->[1]/, "($case->[0]) is refused");
    }

    $g->mark;
    sql($g, 'PRAGMA ignore_check_constraints = 1',
            "INSERT INTO $limits VALUES ('clients', 'f', -1, 1)",
            "UPDATE clients SET capacity = -1 WHERE id = 'e'",
            "INSERT INTO $limits VALUES ('clients', 'g', 8, 8)");
    become($g, { a => '20/0.001', d => '10/1', e => '6/0.5', g => '8/8' },
           'what is wrong all the same is skipped');
    like($g->wait_log(qr/client "f"/), qr/\[warn\].*c\.db": client "f" of zone "clients" has no valid limits/,
         'and told');

    restart($g);
    become($g, { a => '20/0.001', d => '10/1', g => '8/8' },
           'at a start as well');
    is(put($g, 'f', 4, 4), 200, 'it can be replaced');

    put($g, $_, 2, 2) for qw(p q);
    sql($g, "DELETE FROM clients WHERE id = 'p'");
    is(put($g, 'q', 3, 3), 200, 'a write through the API');
    is(get($g, '/clients/p')->{code}, 404, 'brings in what was edited before');
};

subtest 'the file is another one' => sub {
    my $g = start(url => 'sqlite:%%DIR%%/store/c.db interval=100ms');
    put($g, $_, 10, 1) for qw(a b);

    my $copy = $g->dir . '/copy.db';
    sql($g, "VACUUM INTO '$copy'");
    put($g, 'c', 10, 1);

    chown((stat(file($g)))[4, 5], $copy);
    rename($copy, file($g)) or die $!;
    unlink(map { file($g) . $_ } qw(-wal -shm));
    become($g, { a => '10/1', b => '10/1' }, 'an older copy is followed');
    is(put($g, 'd', 1, 1), 201, 'and written to');
    is(sql($g, "SELECT count(*) FROM clients"), 3, 'it is there');

    unlink(file($g), map { file($g) . $_ } qw(-wal -shm));
    is(put($g, 'e', 1, 1), 201, 'without a file a new one is made');
    become($g, { a => '10/1', b => '10/1', d => '1/1', e => '1/1' },
           'with all clients');
    crash($g);
    become($g, { a => '10/1', b => '10/1', d => '1/1', e => '1/1' },
           'that are safe');
};

subtest 'a database that is locked' => sub {
    my $g = start(url => 'sqlite:%%DIR%%/store/c.db timeout=300ms');
    put($g, 'a', 10, 1);

    my $pid = open(my $in, '|-', 'sqlite3', file($g)) or die "sqlite3: $!\n";
    $in->autoflush(1);
    print $in ".timeout 5000\nBEGIN EXCLUSIVE;\n.shell touch "
              . $g->dir . "/locked\n";
    ok(wait_for(sub { -e $g->dir . '/locked' }), 'somebody locks it');

    $g->mark;
    my $begin = time();
    my $r = api($g, 'PUT', '/clients/b', { capacity => 1,
                                           rate_per_sec => 1 });
    is($r->{code}, 503, 'a write is refused');
    like($r->{body}, qr/nothing was changed: .*c\.db.*locked/,
         'with the reason');
    cmp_ok(time() - $begin, '<', 3, 'in time');
    put($g, "b$_", 1, 1) for 1 .. 3;
    is(() = $g->log =~ /clients cannot be saved: .*locked/g, 1, 'one line');
    is(metric($g, 'tbucket_store_up'), 0, 'and the metric says so');
    is(admitted($g, 'a', 1), 1, 'requests go on');

    $g->kill;
    my ($why, $time) = reason($g);
    like($why, qr/\[emerg\].*locked/, 'nginx does not start');
    cmp_ok($time, '<', 9, 'but says so');

    close($in);
    $g->start;
    is(put($g, 'b', 1, 1), 201, 'when it is free again all is well');
    is(metric($g, 'tbucket_store_up'), 1, 'and the metric says so');
};

subtest 'drained buckets' => sub {
    my $g = start(zone => 'rate=2r/s capacity=100');
    put($g, 'r', 50, 4);

    for my $how (qw(quit stop kill)) {
        my $begin = time();
        admitted($g, $_, 100) for qw(r u);
        my $at = time();
        my $left = client_of($g, 'u')->{tokens};

        # kill -9 once they are saved: with what was drained after them

        if ($how eq 'kill') {
            admitted($g, 'mark', 100);
            ok(wait_for(sub { sql($g, 'SELECT sum(length(state)) / 24'
                                      . ' FROM tokens') eq '3' }),
               'they are saved');
        }
        refilled($g, $how, $begin, $at, $left);
    }

    # nobody asks, so there is nothing to write

    ok(wait_for(sub { my $n = sql($g, 'SELECT max(at) FROM tokens');
                      sleep(1.5);
                      $n eq sql($g, 'SELECT max(at) FROM tokens') }, 15),
       'buckets that only refill are not written again');
};

subtest 'more clients than the zone holds' => sub {
    my $g = start(size => '4m', url => 'sqlite:%%DIR%%/store/c.db '
                                       . 'interval=100ms');
    sql($g, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
            . " WHERE i < 3000)"
            . " INSERT INTO $limits SELECT 'clients', 'n' || i, 5, 5 FROM n");
    ok(wait_for(sub { keys %{ registered($g) } == 3000 }), '3,000 fit');

    ok($g->reload(text(size => '64k')), 'a zone that is too small');
    like($g->log, qr/clients have no room|lost/, 'is told');
    my $r = api($g, 'POST', '/clients', [map {
                { client_id => "m$_", capacity => 1, rate_per_sec => 1 }
            } 1 .. 1000]);
    is($r->{code}, 503, 'and takes no more');
    is(sql($g, 'SELECT count(*) FROM clients'), 3000, 'all are in the file');
    ok($g->reload(text(size => '4m')), 'a zone that is large enough');
    ok(wait_for(sub { keys %{ registered($g) } == 3000 }), 'has them again');
};

subtest 'many large changes at once' => sub {
    my $g = start(size => '64m', workers => 1);
    my @bodies = map { my $n = $_;
                       encode_json([map { { client_id => "c$n-$_",
                                            capacity => 5, rate_per_sec => 1 } }
                                    1 .. 1000]) } 1 .. 128;

    my %codes;
    my @c = map { client($g) } @bodies;
    for (0 .. $#c) {
        my $len = length($bodies[$_]);
        $c[$_]->send("POST /clients HTTP/1.1\r\nHost: a\r\n"
                     . "Content-Type: application/json\r\n"
                     . "Content-Length: $len\r\n\r\n$bodies[$_]");
    }
    $codes{$_->response->{code}}++ for @c;

    is_deeply(\%codes, { 200 => 128 }, 'all are made');
    is(sql($g, 'SELECT count(*) FROM clients'), 128_000, 'and in the file');
    unlike($g->log, qr/the disk does not answer/,
           'and the disk is not thought to hang');
    is($g->quit, 0, 'a graceful stop ends');
};

subtest 'two nginx on one file' => sub {
    my $g = start(url => 'sqlite:%%DIR%%/store/c.db interval=100ms');
    my $h = start(url => 'sqlite:' . file($g) . ' interval=100ms');

    is(put($g, 'a', 1, 1), 201, 'one of them writes');
    is(put($h, 'b', 2, 1), 201, 'and so does the other');
    become($_, { a => '1/1', b => '2/1' }, 'both have both') for $g, $h;
    is(put($h, 'a', 3, 1), 200, 'the one replaces what the other made');
    is(api($g, 'POST', '/clients', { client_id => 'b', capacity => 1,
                                     rate_per_sec => 1 })->{code}, 409,
       'conflicts are found');
    become($_, { a => '3/1', b => '2/1' }, 'in both') for $g, $h;
};

subtest 'a zone gets another size while clients are changed' => sub {
    my $g = start();
    my (%ok, $n);

    for my $size ('8m', '2m', '4m') {
        my $pid = fork() // die "fork: $!\n";

        if ($pid == 0) {
            $g->reload(text(size => $size));
            require POSIX;
            POSIX::_exit(0);
        }

        while (waitpid($pid, 1) == 0) {
            $n++;
            my $code = put($g, "n$n", 1 + $n % 100, 1);
            $ok{"n$n"} = (1 + $n % 100) . '/1' if $code == 201;
        }
    }

    cmp_ok(scalar keys %ok, '>', 2, "$n writes");
    become($g, \%ok, 'what was answered is in force');
    crash($g);
    become($g, \%ok, 'and safe');
};

subtest 'a disk that is full, or read-only' => sub {
    my $dir = temp_dir();

    plan(skip_all => 'a small file system of its own cannot be mounted')
        if system("mount -t tmpfs -o size=400k tmpfs $dir 2>/dev/null") != 0;

    eval {
        my $g = start(url => "sqlite:$dir/c.db");
        put($g, 'a', 1, 1);

        system("dd if=/dev/zero of=$dir/fill bs=4k 2>/dev/null");
        $g->mark;

        my ($r, $n);
        for ($n = 1; $n < 500; $n++) {
            $r = api($g, 'PUT', "/clients/n$n", { capacity => 1,
                                                  rate_per_sec => 1 });
            last if $r->{code} != 201;
        }
        is($r->{code}, 503, 'a write is refused when the disk is full');
        like($r->{body}, qr/c\.db.*(?:full|I\\?\/O error)/, 'with the reason');
        is(get($g, "/clients/n$n")->{code}, 404, 'and is not in force');
        like($g->wait_log(qr/cannot be saved/), qr/c\.db/, 'the log says so');
        is(metric($g, 'tbucket_store_up'), 0, 'so does the metric');

        unlink("$dir/fill");
        is(put($g, "n$n", 1, 1), 201, 'when there is room it is taken');
        crash($g);
        is(scalar keys %{ registered($g) }, $n + 1, 'and nothing was lost');

        $g->quit;
        system("mount -o remount,ro $dir") == 0 or die "remount\n";
        my ($why) = reason($g);
        like($why, qr/\[emerg\].*(?:readonly|read-only|unable to open)/i,
             'a read-only disk keeps nginx from starting');
    };
    my $error = $@;
    system("umount -l $dir");
    is($error, '', 'no accident');
};

done_testing();
