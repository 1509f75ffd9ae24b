# lb_state over the life of nginx: lines and names that change, one owner at
# a time, writes that fail or end half way, and files that others have put
# there.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Fcntl qw(F_WRLCK O_RDWR SEEK_SET);
use Gateway;
use Gateway::Process;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

use constant F_OFD_SETLK => 37;

# names are looked up in a file of hosts of our own

if ($> == 0 && !$ENV{TEST_LB_STATE_MOUNTS}
    && system('unshare -m true 2>/dev/null') == 0)
{
    $ENV{TEST_LB_STATE_MOUNTS} = 1;
    exec('unshare', '-m', $^X, $0) or die "unshare: $!\n";
}

my $json = JSON::PP->new->utf8->canonical;
my $state = 'lb_state %%DIR%%/state/u.json;';


sub config
{
    my ($servers, $more, $listen) = @_;

    return <<"END";
    upstream u { lb round_robin; @{[ $more // $state ]} $servers }
    server {
        listen 127.0.0.1:%%PORT%%;
        @{[ $listen // '' ]}
        location / { proxy_pass http://u; }
        location /upstreams { lb_api write=on; }
    }
END
}


sub api
{
    my ($g, $method, $uri, $body) = @_;

    my $r = request($g, $method, "/upstreams/u$uri", timeout => 20,
                    defined $body
                    ? (body    => $json->encode($body),
                       headers => { 'Content-Type' => 'application/json' })
                    : ());

    $r->{json} = eval { $json->decode($r->{body}) };

    return $r;
}


sub servers { my ($g) = @_; return @{ api($g, GET => '')->{json}{servers} } }
sub list    { my ($g) = @_;
              return join ' ', sort map { "$_->{address}/$_->{weight}" }
                               servers($g) }
sub id_of   { my ($g, $address) = @_;
              return (grep { $_->{address} eq $address } servers($g))[0]{id} }
sub add     { my ($g, $address) = @_;
              return api($g, POST => '/servers', { address => $address }) }
sub path    { my ($g) = @_; return $g->dir . '/state/u.json' }
sub slurp   { return Gateway::slurp($_[0]) }
sub saved   { my ($g) = @_;
              my $text = slurp(path($g));
              return '' if $text eq '';
              return join ' ', sort map { "$_->{address}/$_->{weight}" }
                               @{ $json->decode($text)->{servers} } }
sub spew    { my ($path, $text) = @_;
              open(my $out, '>', $path) or die "$path: $!\n";
              print $out $text;
              close($out) }
sub restart { my ($g) = @_; $g->quit; $g->start }


# An nginx that can be replaced, which it cannot be in the foreground.

my %masters;

sub daemon
{
    # what a sanitizer needs has to reach the binary of an upgrade

    my $env = join("\n", map { "env $_;" } qw(LD_PRELOAD ASAN_OPTIONS
                                              LSAN_OPTIONS UBSAN_OPTIONS));
    my $g = gateway_unstarted(@_, main => $env);
    my $conf = $g->dir . '/nginx.conf';

    spew($conf, slurp($conf) =~ s/daemon off;/daemon on;/r);
    system($g->command) == 0 or die "nginx does not start\n";

    return ($g, follow($g, ''));
}


sub follow
{
    my ($g, $old) = @_;

    my $path = $g->dir . '/logs/nginx.pid';
    my $pid;

    wait_for(sub { $pid = (slurp($path) =~ /^(\d+)$/m)[0] // $old;
                   my @workers = Gateway::Process::children($pid);
                   $pid ne $old && @workers > 0 })
        or die "no new nginx\n";
    $masters{$pid} = 1;

    return $pid;
}


sub upgrade
{
    my ($g, $old) = @_;

    kill('USR2', $old);

    return follow($g, $old);
}


# What is left of the two takes all connections when the other has gone.

sub leave
{
    my ($g, $pid) = @_;

    kill('QUIT', $pid);
    ok(wait_for(sub { !Gateway::Process::alive($pid)
                      || slurp("/proc/$pid/stat") =~ /\) Z/ }), 'it quits');
    delete $masters{$pid};
}


END { kill('KILL', $_, Gateway::Process::children($_)) for keys %masters }


subtest 'a line is followed as long as its server was not changed' => sub {
    my ($x, $y, $z, $n) = map { "127.0.0.1:$_" } 11 .. 14;
    my $g = gateway(config("server $x; server $y; server $z;"));

    api($g, PATCH => '/servers/' . id_of($g, $y), { weight => 5 });
    api($g, DELETE => '/servers/' . id_of($g, $z));
    is(list($g), "$x/1 $y/5", 'one is changed, one deleted');

    for my $how ('reload', 'restart') {
        my $weight = $how eq 'reload' ? 7 : 8;

        $g->mark;
        $g->write(config("server $x weight=$weight; server $z weight=9;"
                         . "server $y weight=$weight max_conns=$weight;"));
        $how eq 'reload' ? $g->reload : restart($g);

        is(list($g), "$x/$weight $y/5", "$how: what was not changed follows");
        is((grep { $_->{address} eq $y } servers($g))[0]{max_conns}, $weight,
           'setting by setting');
        ok($g->wait_log(qr/line of server \Q$y\E .* weight is 5, not $weight/),
           'a line that differs is named');
        ok($g->wait_log(qr/line of server \Q$z\E .* no such server/),
           'and one whose server was deleted');
    }

    $g->write(config("server $n; server $y;"));
    restart($g);
    is(list($g), "$y/5 $n/1", 'a line that went and one that came');

    $g->write(config("server $n;"));
    $g->reload;
    is(list($g), "$y/5 $n/1", 'a server that was changed outlives its line');
};


SKIP: {
    skip 'no mounts here', 3 if !$ENV{TEST_LB_STATE_MOUNTS};

    my $dir = temp_dir();
    my $hosts = sub { spew("$dir/hosts", slurp('/etc/hosts.real')
                           . join('', map { "$_\n" } @_)) };

    # the real one stays readable beside the one that is mounted over it

    spew("$dir/real", slurp('/etc/hosts'));
    $hosts = sub { spew("$dir/hosts", slurp("$dir/real")
                        . join('', map { "$_\n" } @_)) };
    $hosts->('127.0.0.2 app.example', '127.0.0.2 gone.example');
    system('mount', '--make-rprivate', '/') == 0
        && system('mount', '--bind', "$dir/hosts", '/etc/hosts') == 0
        or die "mount failed\n";

    subtest 'a name is looked up again' => sub {
        my $g = gateway(config('server app.example:81; server 127.0.0.9:81;'
                               . 'server gone.example:81;'));

        api($g, PATCH => '/servers/' . id_of($g, '127.0.0.9:81'),
            { weight => 2 });
        my @ids = map { $_->{id} } grep { $_->{address} eq '127.0.0.2:81' }
                  servers($g);
        api($g, DELETE => "/servers/$ids[1]");
        is(saved($g), '127.0.0.2:81/1 127.0.0.9:81/2', 'saved');
        like(slurp(path($g)), qr/"app\.example:81"/, 'with the name');

        $hosts->('127.0.0.3 app.example', '127.0.0.3 gone.example');
        $g->reload;
        is(list($g), '127.0.0.3:81/1 127.0.0.9:81/2', 'at a reload');

        $hosts->('127.0.0.4 app.example', '127.0.0.4 gone.example');
        restart($g);
        is(list($g), '127.0.0.4:81/1 127.0.0.9:81/2',
           'at a restart, and a deleted one stays away');

        api($g, PATCH => '/servers/' . id_of($g, '127.0.0.4:81'),
            { weight => 3 });
        $hosts->('127.0.0.5 app.example', '127.0.0.5 gone.example');
        restart($g);
        is(list($g), '127.0.0.5:81/3 127.0.0.9:81/2',
           'with what was changed');
    };

    subtest 'a name in a file by hand' => sub {
        my $g = gateway_unstarted(config('server 127.0.0.1:1 down;'));

        $hosts->('127.0.0.2 app.example');
        mkdir $g->dir . '/state';
        spew(path($g), '{"servers":[{"address":"app.example:81",'
                       . '"weight":4}]}');
        $g->start;
        is(list($g), '127.0.0.2:81/4', 'is looked up');
        is(add($g, '127.0.0.9:81')->{code}, 201, 'the list changes');

        $hosts->('127.0.0.3 app.example');
        restart($g);
        is(list($g), '127.0.0.3:81/4 127.0.0.9:81/1', 'and again');
        $hosts->('127.0.0.4 app.example');
        $g->reload;
        is(list($g), '127.0.0.4:81/4 127.0.0.9:81/1', 'at a reload, too');
    };

    subtest 'a file that is mounted by itself is told of' => sub {
        my $g = gateway(config('server 127.0.0.1:1;'));
        is(add($g, '127.0.0.1:2')->{code}, 201, 'the file is made');

        system('mount', '--bind', path($g), path($g)) == 0 or die;
        my ($code, $out) = $g->test;
        is($code, 0, 'nginx -t');
        like($out, qr/u\.json" .* is mounted by itself and cannot be replaced/,
             'says so');
        is(add($g, '127.0.0.1:3')->{code}, 503, 'a change is refused');
        is(list($g), '127.0.0.1:1/1 127.0.0.1:2/1', 'and not made');
        system('umount', path($g));
    };
}


subtest 'a binary upgrade hands the file over' => sub {
    my ($g, $old) = daemon(config('server 127.0.0.1:1;'));

    is(add($g, '127.0.0.1:2')->{code}, 201, 'before it');

    my $new = upgrade($g, $old);

    # both take connections

    my (%codes, @there);

    for my $port (1001 .. 1040) {
        my $r = add($g, "127.0.0.1:$port");
        $codes{ $r->{code} }++;
        push @there, "127.0.0.1:$port/1" if $r->{code} == 201;
        like($r->{body}, qr/in use by another nginx, nothing was changed/,
             'the old one refuses') if $r->{code} == 503;
    }

    is_deeply([grep { !/^(?:201|503)$/ } keys %codes], [], 'made or refused')
        or diag(explain(\%codes));

    leave($g, $old);
    is(list($g), join(' ', sort '127.0.0.1:1/1', '127.0.0.1:2/1', @there),
       'what was made is in force');
    is(saved($g), list($g), 'and in the file');
    is(add($g, '127.0.0.1:3')->{code}, 201, 'all changes are made again');
};


subtest 'the new nginx makes the checks' => sub {
    my $b = gateway('server { listen 127.0.0.1:%%PORT%%; '
                    . 'access_log %%DIR%%/checks; return 200; }');
    my ($g, $old) = daemon(config("server 127.0.0.1:@{[ $b->port ]};",
                                  "$state lb_health_check interval=100ms;"));
    my $count = sub { return scalar(() = slurp($b->dir . '/checks')
                                         =~ /\n/g) };
    my $new = upgrade($g, $old);

    # two would make twenty a second

    ok(wait_for(sub {
        my $before = $count->();
        select(undef, undef, undef, 1);
        my $n = $count->() - $before;
        return $n > 0 && $n < 15;
    }), 'and they alone');

    leave($g, $new);
    my $before = $count->();
    ok(wait_for(sub { $count->() > $before + 5 }),
       'the old one goes on when it has gone');
};


subtest 'an upgrade that is taken back' => sub {
    my ($g, $old) = daemon(config('server 127.0.0.1:1;'));
    my $new = upgrade($g, $old);

    ok(wait_for(sub { add($g, '127.0.0.1:2')->{code} == 201 }),
       'the new one makes a change');

    leave($g, $new);
    is(add($g, '127.0.0.1:3')->{code}, 201, 'the old one makes changes');
    is(list($g), '127.0.0.1:1/1 127.0.0.1:2/1 127.0.0.1:3/1',
       'and has what the new one has made');
    is(saved($g), list($g), 'so has the file');
};


subtest 'a file belongs to one nginx' => sub {
    my $g = gateway(config('server 127.0.0.1:1;'));
    my $text = config('server 127.0.0.1:9;', "lb_state @{[ path($g) ]};");

    is(add($g, '127.0.0.1:2')->{code}, 201, 'the first one makes changes');

    my $h = gateway($text);
    ok($h->wait_log(qr/u\.json" .* is in use by another nginx/),
       'the second one says why it does not');
    is(add($h, '127.0.0.1:3')->{code}, 503, 'indeed');
    is(add($g, '127.0.0.1:3')->{code}, 201, 'the first one does');

    $g->quit;
    is(add($h, '127.0.0.1:4')->{code}, 503, 'until it is reloaded');
    ok($h->reload, 'reloaded');
    ok(wait_for(sub { list($h) =~ m{127.0.0.1:3/1} }),
       'it has the list of the first one');
    is(add($h, '127.0.0.1:4')->{code}, 201, 'and makes changes');
    like(slurp(path($g)), qr/127\.0\.0\.1:3.*127\.0\.0\.1:4/s, 'to it');
};


subtest 'a lock that was removed comes back at a reload' => sub {
    my $g = gateway(config('server 127.0.0.1:1;'));

    add($g, '127.0.0.1:2');
    unlink(path($g) . '.lock');
    is(add($g, '127.0.0.1:3')->{code}, 503, 'no changes without it');
    ok($g->reload, 'reloaded');
    is(add($g, '127.0.0.1:3')->{code}, 201, 'and changes are made');
    is(saved($g), list($g), 'in the file, too');
};


# The writer is held up by a lock; the file then has what it would have
# written, and it is killed before it gets to its memory.

subtest 'a worker that dies after it has replaced the file' => sub {
    my $g = gateway(config('server 127.0.0.1:1;'));
    add($g, '127.0.0.1:2');

    sysopen(my $lock, path($g) . '.lock', O_RDWR) or die "$!";
    my $range = pack('s s x4 q q i x4', F_WRLCK, SEEK_SET, 0, 1, 0);
    fcntl($lock, F_OFD_SETLK, $range) or die "fcntl: $!";
    my ($worker) = $g->workers;
    my $c = client($g);
    my $body = '{"address":"127.0.0.1:3"}';
    $c->send("POST /upstreams/u/servers HTTP/1.1\r\nHost: a\r\n"
             . "Content-Type: application/json\r\n"
             . 'Content-Length: ' . length($body) . "\r\n\r\n$body");
    is(api($g, GET => '')->{code}, 200, 'the change is under way');

    my $text = slurp(path($g));
    my $more = '{"id":3,"address":"127.0.0.1:3","weight":1}';
    $text =~ s/(\n\],\n"lines")/,\n$more$1/;
    spew(path($g) . '.new', $text);
    rename(path($g) . '.new', path($g));
    kill('KILL', $worker);
    close($lock);

    ok(wait_for(sub { my @w = $g->workers; @w == 1 && $w[0] != $worker }),
       'another worker comes');
    ok(wait_for(sub { list($g) eq saved($g) }), 'memory is what the file is');
    like(list($g), qr{127\.0\.0\.1:3/1}, 'with the change');
    is(add($g, '127.0.0.1:4')->{code}, 201, 'and changes go on');
    is(saved($g), list($g), 'in both');
};


subtest 'what cannot be made safe is not made' => sub {
    plan skip_all => 'for root only' if $> != 0;

    my $g = gateway_unstarted(config('server 127.0.0.1:1;'),
                              user => 'nobody nogroup');
    my $dir = $g->dir . '/state';

    $g->start;
    is((stat $dir)[4], scalar getpwnam('nobody'),
       'the folder is made for the workers');
    is(add($g, '127.0.0.1:2')->{code}, 201, 'who write to it');

    # a folder that may be written to, but not be opened to be synced

    chmod(0300, $dir);
    is(add($g, '127.0.0.1:3')->{code}, 503, 'a failure');
    is(saved($g), '127.0.0.1:1/1 127.0.0.1:2/1', 'leaves the file as it was');
    is(list($g), saved($g), 'and the servers');
    chmod(0700, $dir);
    is(add($g, '127.0.0.1:3')->{code}, 201, 'and ends');

    spew("$dir/victim", 'of root');
    chmod(0600, "$dir/victim");

    for my $name ('u.json.tmp', 'u.json.lock', 'u.json') {
        $g->quit;
        unlink("$dir/$name");
        symlink("$dir/victim", "$dir/$name");
        eval { $g->start };

        if ($name eq 'u.json') {
            like($@, qr/symbolic link that is not followed/,
                 "$name: a link of the workers is not followed");
        }

        add($g, '127.0.0.1:4') if $g->running;
        is(slurp("$dir/victim"), 'of root', "$name: nor written to");
        is((stat "$dir/victim")[4], 0, 'or given away');
        unlink("$dir/$name");
    }
};


subtest 'a link of the operator is followed' => sub {
    plan skip_all => 'for root only' if $> != 0;

    my $g = gateway_unstarted(config('server 127.0.0.1:1;',
                                     'lb_state %%DIR%%/link.json;'));
    my $path = path($g);

    mkdir $g->dir . '/state';
    symlink('state/u.json', $g->dir . '/link.json');
    $g->start;
    is(add($g, '127.0.0.1:2')->{code}, 201, 'a change');
    ok(-l $g->dir . '/link.json', 'the link stays');
    is(saved($g), '127.0.0.1:1/1 127.0.0.1:2/1', 'its target has the list');
};


subtest 'files that are none' => sub {
    my $g = gateway_unstarted(config('server 127.0.0.1:1;'));
    my $path = path($g);

    mkdir $g->dir . '/state';

    for my $name ("$path.bad", "$path.bad.1", "$path.bad.2") {
        spew($path, $name);
        $g->start;
        ok($g->wait_log(qr/was set aside as "\Q$name\E"/), 'set aside');
        is(slurp($name), $name, 'as it was');
        $g->quit;
    }

    is(slurp("$path.bad"), "$path.bad", 'the first one stays');

    spew($path, '{"servers":[{"id":9007199254740991,'
                . '"address":"127.0.0.1:7"}]}');
    $g->start;
    is(add($g, '127.0.0.1:8')->{code}, 201, 'the largest id');
    restart($g);
    is(list($g), '127.0.0.1:7/1 127.0.0.1:8/1', 'does no harm');
    is(id_of($g, '127.0.0.1:7'), 9007199254740991, 'and stays');

    truncate($path, 3 << 30) or die "truncate: $!";
    my $began = time;
    my ($code, $out) = $g->test;
    isnt($code, 0, 'a file of 3 GB is refused');
    like($out, qr/is not a file of at most 64m/, 'for its size');
    cmp_ok(time - $began, '<', 10, 'at once');
    ok(!$g->reload, 'at a reload, too');
    is(list($g), '127.0.0.1:7/1 127.0.0.1:8/1', 'which changes nothing');
};


for my $more ('', $state) {
    subtest "a change when a reload replaces the zone ($more)" => sub {
        my $text = sub { config('server 127.0.0.1:1;',
                                "lb_zone $_[0]; $more") };
        my $g = gateway($text->('1m'));
        my $old = client($g);
        my $body = '{"address":"127.0.0.1:2"}';

        $old->send("POST /upstreams/u/servers HTTP/1.1\r\nHost: a\r\n"
                   . "Content-Type: application/json\r\nContent-Length: "
                   . length($body) . "\r\n\r\n" . substr($body, 0, 9));
        is(add($g, '127.0.0.1:3')->{code}, 201, 'it is read, one is made');

        ok($g->reload($text->('2m')), 'reloaded');
        $old->send(substr($body, 9));
        my $r = $old->response;
        is($r->{code}, 503, 'a change that comes too late');
        like($r->{body}, qr/is being replaced by a reload, nothing was/,
             'is refused');
        is(list($g), '127.0.0.1:1/1 127.0.0.1:3/1',
           'the one before is there');
        my $id = add($g, '127.0.0.1:5')->{json}{id};
        is((grep { $_->{id} == $id } servers($g)), 1, 'ids are given once');

        # a worker that has read a part of a request stays to read the rest

        $old = client($g);
        $old->send("GET /upstreams/u HTTP/1.1\r\nHost: a\r\n\r\n");
        is($old->response->{code}, 200, 'another connection');
        $old->send('DELETE /upstreams/u/servers/');
        list($g);
        ok($g->reload($text->('1m')), 'reloaded');
        $id = add($g, '127.0.0.1:6')->{json}{id};
        $old->send("$id HTTP/1.1\r\nHost: a\r\n\r\n");
        is($old->response->{code}, 503,
           'an old worker does not take for missing what it cannot know');
    };

    subtest "a zone without room for what runtime has added ($more)" => sub {
        my $text = sub { config('server 127.0.0.1:1;',
                                "lb_zone $_[0]; $more") };
        my $g = gateway($text->('1m'));

        add($g, "127.0.0.2:$_") for 1 .. 30;
        ok(!$g->reload($text->('64k')), 'is refused at a reload');
        ok($g->wait_log(qr/"lb_zone" of 64k .* room for \d+ .* not for 31/),
           'with the number');
        is(scalar(servers($g)), 31, 'which changes nothing');
    };
}


subtest 'a change that is being saved when a reload replaces the zone' => sub {
    my $dir = temp_dir();
    system('gcc', '-shared', '-fPIC', '-o', "$dir/hanging_disk.so",
           "$FindBin::Bin/../lib/hanging_disk.c", '-ldl') == 0
        or die "hanging_disk.c does not compile\n";

    my $text = sub { config('server 127.0.0.1:1;', "lb_zone $_[0]; $state") };
    my $preload = join ' ', "$dir/hanging_disk.so", $ENV{LD_PRELOAD} // ();
    my $g = gateway($text->('1m'), env => { HANGING_DISK => "$dir/hangs",
                                            LD_PRELOAD => $preload });
    my $c = client($g);
    my $body = '{"address":"127.0.0.1:2"}';

    spew("$dir/hangs", '');
    $c->send("POST /upstreams/u/servers HTTP/1.1\r\nHost: a\r\n"
             . "Content-Type: application/json\r\nContent-Length: "
             . length($body) . "\r\n\r\n$body");
    ok(wait_for(sub { -e path($g) . '.tmp' }), 'it is being written');
    Gateway::Process::fork_child(sub { select(undef, undef, undef, 0.4);
                                       unlink("$dir/hangs") });

    ok($g->reload($text->('2m')), 'reloaded');
    is(list($g), '127.0.0.1:1/1 127.0.0.1:2/1',
       'is there when the new workers are');
    is($c->response->{code}, 201, 'and answered');
    unlike($g->log, qr/state file read/, 'without a look into the file');
};


# nginx gives up a reload when it has tried to listen for a while.

subtest 'a reload that fails leaves the old zone in force' => sub {
    my $text = sub { config('server 127.0.0.1:1;', "lb_zone $_[0];", $_[1]) };
    my $g = gateway($text->('1m'));
    my $busy = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1');
    my ($worker) = $g->workers;

    $g->write($text->('2m', 'listen 127.0.0.1:' . $busy->sockport . ';'));
    kill('HUP', $g->pid);
    ok($g->wait_log(qr/ still could not bind/), 'it fails');
    ok(wait_for(sub { add($g, '127.0.0.1:2')->{code} == 201 }),
       'changes are made');
    is_deeply([$g->workers], [$worker], 'by the worker that was there');
    is(list($g), '127.0.0.1:1/1 127.0.0.1:2/1', 'in its zone');
};


done_testing();
