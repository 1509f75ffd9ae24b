# The SQLite store and nginx's processes: several workers that write, workers
# that die, a binary upgrade, one process only, workers of another user.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Clients qw(registered stored);
use Gateway;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);


my $text = stored('sqlite:%%DIR%%/store/c.db',
    zone   => 'rate=10r/s',
    http   => 'tbucket_zone $http_x_api_key zone=other.zone:1m rate=10r/s;',
    server => 'location /others { tbucket_api zone=other.zone write=on; }');

sub body { return encode_json({ capacity => $_[0], rate_per_sec => 1 }) }

my @json = (headers => { 'Content-Type' => 'application/json' });

sub put { my ($where, $uri, $n) = @_;
          return request($where, 'PUT', $uri, @json, body => body($n),
                         timeout => 10)->{code} }

sub capacity { my ($g, $id) = @_;
               my $r = get($g, "/clients/$id");
               return $r->{code} == 200
                   ? decode_json($r->{body})->{capacity} : undef }

# id => capacity

sub listed { my $all = registered(@_); s,/.*,, for values %$all; return $all }

# Which of these ids the API does not list.

sub missing { my ($g, @ids) = @_; my $all = listed($g);
              return [grep { !defined $all->{$_} } sort @ids] }

# n writes of c at a time; the ids that were answered with 2xx.

sub writes
{
    my ($g, $n, $c, $prefix) = @_;

    my @ok;
    my $l = load($g, sub { "/clients/$prefix$_[0]" }, method => 'PUT',
                 requests => $n, connections => $c, @json, body => body(7),
                 each => sub { my ($r, $i) = @_;
                               push @ok, "$prefix$i"
                                   if $r->{code} =~ /^20/ });
    return ($l, @ok);
}


subtest 'many at once in several workers' => sub {
    my $g = gateway($text, workers => 4);
    my ($l, @ok) = writes($g, 800, 64, 'w');

    is($l->{codes}{201}, 800, 'all are answered');
    cmp_ok(scalar @ok, '==', 800, sprintf('in %.2f s', $l->{seconds}));

    my $l2 = load($g, '/clients/same', method => 'PUT', requests => 200,
                  connections => 50, @json, body => body(3));
    is($l2->{codes}{201}, 1, 'of many writes of one client one creates it');
    is($l2->{codes}{200}, 199, 'and the others replace it');

    my $l3 = load($g, '/clients', method => 'POST', requests => 100,
                  connections => 50, @json,
                  body => encode_json({ client_id => 'post', capacity => 1,
                                        rate_per_sec => 1 }));
    is($l3->{codes}{201}, 1, 'of many creations one succeeds');
    is($l3->{codes}{409}, 99, 'and the others conflict');

    is(put($g, '/others/x', 5), 201, 'another zone takes clients, too');

    $g->kill;
    $g->start;
    is(scalar keys %{ listed($g) }, 802, 'all are there after a crash');
    is(get($g, '/others/x')->{code}, 200, 'in the other zone, too');
    is(get($g, '/others/w1')->{code}, 404, 'where nothing else is');
};

subtest 'workers that die' => sub {
    my $g = gateway($text, workers => 3);
    my %ok;

    for my $round (1 .. 10) {
        my $killer = fork() // die "fork: $!\n";

        if ($killer == 0) {
            sleep(0.005 + rand(0.1));
            my @w = $g->workers;
            CORE::kill('KILL', $w[rand @w]) if @w;
            require POSIX;
            POSIX::_exit(0);
        }

        my (undef, @done) = writes($g, 150, 16, "r$round-");
        @ok{@done} = ();
        waitpid($killer, 0);
        $g->wait_workers(3);
    }

    cmp_ok(scalar keys %ok, '>', 1000, 'most writes are answered');
    is_deeply(missing($g, keys %ok), [],
              'and those are in memory');
    is(put($g, '/clients/last', 1), 201, 'the store takes writes');
    is($g->log =~ /cannot be saved/, '', 'it never stopped to');

    $g->kill;
    $g->start;
    is_deeply(missing($g, keys %ok), [],
              'and on the disk');
};

# nginx changes its binary only as a daemon.  These are not the children of
# the test, so that it sees to their end itself.

my %daemons;

sub daemon
{
    # what a sanitizer needs has to reach the new binary as well

    my $env = join("\n", map { "env $_;" } qw(LD_PRELOAD ASAN_OPTIONS
                                              LSAN_OPTIONS UBSAN_OPTIONS));
    my $g = gateway_unstarted($text, main => $env);
    my $conf = $g->dir . '/nginx.conf';

    open(my $in, '<', $conf) or die "$conf: $!\n";
    my $lines = join('', <$in>) =~ s/daemon off;/daemon on;/r;
    open(my $out, '>', $conf) or die "$conf: $!\n";
    print $out $lines;
    close($out);

    return $g;
}

sub pid_in
{
    my ($g, $suffix) = @_;

    open(my $in, '<', $g->dir . "/logs/nginx.pid$suffix") or return 0;
    return (<$in> // '') =~ /^(\d+)$/ ? $1 : 0;
}

sub launch
{
    my ($g) = @_;

    my $status = system(($g->command)[0 .. 6]);
    my $pid = wait_for(sub { pid_in($g, '') }) // 0;

    wait_for(sub { my @c = Gateway::Process::children($pid); @c > 0 });
    $daemons{$pid} = 1;

    return $pid;
}

sub upgrade
{
    my ($g, $old) = @_;

    kill('USR2', $old);
    wait_for(sub { pid_in($g, '.oldbin') == $old && pid_in($g, '') }) // 0;
    my $new = pid_in($g, '');
    $daemons{$new} = 1;
    wait_for(sub { my @c = Gateway::Process::children($new); @c > 0 });

    return $new;
}

sub gone { my ($pid) = @_;
           return wait_for(sub { !kill(0, $pid) || state_of($pid) eq 'Z' }) }

sub state_of { my ($pid) = @_;
               open(my $in, '<', "/proc/$pid/stat") or return 'Z';
               return ((<$in> // '') =~ /^\d+ \(.*\) (\w)/s)[0] // 'Z' }

sub slay
{
    my ($pid) = @_;

    # the master first, so that it starts no other worker

    kill('STOP', $pid);
    kill('KILL', Gateway::Process::children($pid), $pid);
    gone($pid);
    delete $daemons{$pid};
}

END { slay($_) for keys %daemons }


subtest 'a binary upgrade' => sub {
    my $g = daemon();
    my $old = launch($g);
    is(put($g->port, '/clients/old', 5), 201, 'a client');

    my $new = upgrade($g, $old);
    cmp_ok($new, '!=', $old, 'the new nginx starts');

    kill('QUIT', $old);
    ok(gone($old), 'the old one quits');

    is(capacity($g->port, 'old'), 5, 'the new one has the clients');
    is(put($g->port, '/clients/new', 6), 201, 'and takes writes');

    slay($new);
    $new = launch($g);
    is_deeply(listed($g->port), { old => 5, new => 6 },
              'and all survives a crash');
    slay($new);
};


subtest 'an upgrade that is taken back' => sub {
    my $g = daemon();
    my $old = launch($g);
    put($g->port, '/clients/old', 5);

    my $new = upgrade($g, $old);
    my %codes;
    $codes{ put($g->port, "/clients/both$_", 6) }++ for 1 .. 40;
    is($codes{201}, 40, 'while both run, each takes writes')
        or diag(explain(\%codes));

    kill('QUIT', $new);
    ok(gone($new), 'the new nginx quits');
    ok(wait_for(sub { pid_in($g, '') == $old }), 'the old one is in charge');

    my @workers = Gateway::Process::children($old);
    kill('HUP', $old);
    ok(wait_for(sub { my @now = Gateway::Process::children($old);
                      @now == 1 && $now[0] != $workers[0] }),
       'and reloaded');
    is(put($g->port, '/clients/back', 7), 201, 'then it takes writes again');

    my $all;
    wait_for(sub { $all = listed($g->port);
                   (grep { /^both/ } keys %$all) == 40 });
    is(scalar(grep { /^both/ } keys %$all), 40,
       'and has what the new one took');

    slay($old);
    $old = launch($g);
    is_deeply(listed($g->port), $all, 'all survives a crash');
    slay($old);
};


subtest 'one process only' => sub {
    my $g = gateway($text, master => 0);

    is(put($g, '/clients/a', 5), 201, 'takes writes');
    $g->kill;
    $g->start;
    is(capacity($g, 'a'), 5, 'that are safe');
    is(put($g, '/clients/b', 6), 201, 'and more of them');
    $g->quit;
    $g->start;
    is_deeply(listed($g), { a => 5, b => 6 }, 'after a graceful stop as well');
};

# As the rights of the master and of the workers' user differ.

sub owner { my @st = lstat($_[0]); return @st ? scalar getpwuid($st[4]) : 'none' }
sub mode  { return sprintf('%04o', (stat($_[0]))[2] & 07777) }
sub slurp { open(my $in, '<', $_[0]) or die "$_[0]: $!\n"; local $/;
            return <$in> }
sub spew  { open(my $out, '>', $_[0]) or die "$_[0]: $!\n"; print $out $_[1];
            close($out) or die $! }

sub other_user
{
    my ($url) = @_;

    my $g = gateway_unstarted($text =~ s/sqlite:\S+;/$url;/r,
                              user => 'www-data', workers => 2);
    chmod(0755, $g->dir);
    mkdir($g->dir . '/theirs', 0755);
    chown((getpwnam('www-data'))[2, 3], $g->dir . '/theirs');
    mkdir($g->dir . '/roots', 0755);
    spew($g->dir . '/roots/secret', "secret\n");
    chmod(0600, $g->dir . '/roots/secret');

    return $g;
}

sub is_untouched
{
    my ($g) = @_;

    my $secret = $g->dir . '/roots/secret';

    is(join(' ', owner($secret), mode($secret), slurp($secret)),
       "root 0600 secret\n", 'the file of root is as it was');
    is(join(' ', map { s{.*/}{}r } glob($g->dir . '/roots/*')), 'secret',
       'and nothing is beside it');
}

sub starts_not
{
    my ($g, $why, $what) = @_;

    eval { $g->start };
    like($@, $why, $what);
    is_untouched($g);
}

SKIP: {
    skip('needs root', 3) if $> != 0;

    subtest 'workers of another user' => sub {
        for my $where (qw(roots/new/store theirs/new/store)) {
            my $g = other_user("sqlite:%%DIR%%/$where/c.db");
            my $store = $g->dir . "/$where";

            $g->start;
            is(put($g, '/clients/a', 5), 201, "$where: a write");
            is(join(' ', owner($store), mode($store)), 'www-data 0700',
               'the folder is theirs');
            is(owner($g->dir . '/roots'), 'root', 'its parents are not');
            is_deeply([grep { owner($_) ne 'www-data' } glob("$store/*")], [],
                      'what is in it is theirs');
            ok($g->reload, 'a reload');
            is(put($g, '/clients/b', 6), 201, 'another write');
            $g->quit;
            $g->start;
            is_deeply(listed($g), { a => 5, b => 6 }, 'both are kept');
        }
    };

    subtest 'a folder that the workers may not write to' => sub {
        my $g = other_user('sqlite:%%DIR%%/roots/c.db');

        starts_not($g, qr/roots" is not one that user "www-data" may write to/,
                   'is refused, with its name and the user');
        is(owner($g->dir . '/roots'), 'root', 'and keeps its owner');

        # a parent of theirs leads elsewhere

        $g = other_user('sqlite:%%DIR%%/theirs/link/store/c.db');
        symlink($g->dir . '/roots', $g->dir . '/theirs/link');
        starts_not($g, qr/root does not make it in ".*theirs\/link"/,
                   'nor is one made where they say');

        # root's own links are followed

        $g = other_user('sqlite:%%DIR%%/link/store/c.db');
        symlink('roots', $g->dir . '/link');
        $g->start;
        is(owner($g->dir . '/roots/store'), 'www-data', 'but where root does');
    };

    subtest 'what the workers\' user puts into its folder' => sub {
        my $g = other_user('sqlite:%%DIR%%/theirs/c.db');
        my $theirs = $g->dir . '/theirs';
        my $secret = $g->dir . '/roots/secret';

        $g->start;
        is(put($g, '/clients/a', 5), 201, 'a write');

        # at a reload, and at a start

        unlink("$theirs/c.db-lock");
        symlink($secret, "$theirs/c.db-lock");
        $g->mark;
        ok($g->reload, 'a reload with a link for the lock');
        like($g->wait_log(qr/open\(\) ".*lock" failed/), qr/symbolic/,
             'is told');
        is_untouched($g);
        is(put($g, '/clients/b', 5), 503, 'and no write is taken');
        $g->quit;
        starts_not($g, qr/open\(\) ".*lock" failed .*symbolic/,
                   'nor does nginx start');

        unlink("$theirs/c.db-lock");
        link($secret, "$theirs/c.db-lock");
        starts_not($g, qr/open\(\) ".*lock" failed \(13:/,
                   'nor with a hard link');
        unlink("$theirs/c.db-lock");

        for my $name (qw(c.db c.db-wal)) {
            rename("$theirs/$name", $g->dir . "/$name");
            symlink($secret, "$theirs/$name");
            starts_not($g, qr/\[emerg\] .*c\.db": unable to open/,
                       "nor with a link for $name");
            unlink("$theirs/$name");
            rename($g->dir . "/$name", "$theirs/$name");
        }

        $g->start;
        is(capacity($g, 'a'), 5, 'without them nginx starts with all');
    };
}

subtest 'a reload while writes go on' => sub {
    my $g = gateway($text, workers => 2);

    for my $round (1 .. 3) {
        my $pid = fork() // die "fork: $!\n";

        if ($pid == 0) {
            sleep(0.05);
            CORE::kill('HUP', $g->pid);
            require POSIX;
            POSIX::_exit(0);
        }

        my ($l, @ok) = writes($g, 300, 8, "h$round-");
        waitpid($pid, 0);
        wait_for(sub { !$g->old_workers });
        is($l->{codes}{201}, scalar @ok, "round $round: what was answered")
            if @ok;
        is_deeply(missing($g, @ok), [],
                  'is in force');
    }

    my $all = listed($g);
    $g->kill;
    $g->start;
    is_deeply(listed($g), $all, 'and safe');
};

done_testing();
