# Servers that are changed while requests are served: added, drained, removed,
# under load, through reloads, kills and restarts.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

my $json = JSON::PP->new->utf8->canonical;


sub config
{
    my ($servers, $more, $location) = @_;

    $more //= '';
    $location //= '';

    return <<"END";
    upstream u { lb round_robin; $more
        $servers }
    server {
        listen 127.0.0.1:%%PORT%%;
        keepalive_requests 1000000;
        location / { proxy_pass http://u; $location }
        location /upstreams { lb_api write=on; }
        location /metrics { lb_metrics; }
    }
END
}


sub api
{
    my ($g, $method, $uri, $body) = @_;

    my $r = request($g, $method, "/upstreams$uri", timeout => 20,
                    defined $body
                    ? (body    => $json->encode($body),
                       headers => { 'Content-Type' => 'application/json' })
                    : ());

    $r->{json} = eval { $json->decode($r->{body}) };

    return $r;
}


sub address { my ($b) = @_; return $b->server =~ /server ([^ ;]+)/ ? $1 : '' }
sub add     { my ($g, $b, %o) = @_;
              return api($g, POST => '/u/servers',
                         { address => ref $b ? address($b) : $b, %o }) }
sub servers { my ($g) = @_; return @{ api($g, GET => '/u')->{json}{servers} } }
sub list    { my ($g) = @_;
              return join ' ', map { "$_->{address}/$_->{weight}/$_->{state}" }
                               servers($g) }
sub who     { my ($g) = @_;
              return get($g, '/')->{body} =~ /"backend":"(\w+)"/ ? $1 : '-' }
sub saved   { my ($g) = @_;
              open(my $in, '<', $g->dir . '/state/u.json') or return;
              local $/;
              return $json->decode(scalar <$in>) }

my $state = 'lb_state %%DIR%%/state/u.json;';


subtest 'a server is added, changed, drained and removed' => sub {
    my ($a, $b) = map { backend(name => $_) } qw(a b);
    my $g = gateway(config($a->server), workers => 2);

    my $r = add($g, $b, weight => 3, max_conns => 9);
    is($r->{code}, 201, 'added');
    my $id = $r->{json}{id};
    is($r->{headers}{location}, "/upstreams/u/servers/$id", 'Location');
    is($r->{json}{state}, 'up', 'it is up at once without checks');
    is(join('', sort map { who($g) } 1 .. 4), 'abbb', 'and takes its share');

    is(api($g, PATCH => "/u/servers/$id", { weight => 1 })->{code}, 200,
       'its weight is changed');
    is(join('', sort map { who($g) } 1 .. 4), 'aabb', 'for all requests');

    $r = api($g, PATCH => "/u/servers/$id", { state => 'draining' });
    is($r->{json}{state}, 'draining', 'drained');
    is(join('', map { who($g) } 1 .. 3), 'aaa', 'no new requests');

    my $since = $r->{json}{since};
    like($since, qr/^20\d\d-\d\d-\d\dT[\d:.]{12}Z$/, 'since when is shown');
    is(api($g, PATCH => "/u/servers/$id", { weight => 1 })->{json}{since},
       $since, 'which another change leaves alone');
    sleep 1;

    $r = api($g, PATCH => "/u/servers/$id", { state => 'up' });
    is($r->{json}{state}, 'up', 'back');
    cmp_ok($r->{json}{since}, 'gt', $since, 'since later');
    is(join('', sort map { who($g) } 1 .. 4), 'aabb', 'with its share');

    is(api($g, PATCH => "/u/servers/$id", { state => 'disabled' })
       ->{json}{state}, 'disabled', 'disabled');
    is(api($g, DELETE => "/u/servers/$id")->{code}, 204, 'removed');
    is(api($g, GET => "/u/servers/$id")->{code}, 404, 'and gone');

    my $again = add($g, $b)->{json}{id};
    cmp_ok($again, '>', $id, 'no id is used twice');

    my $name = address($b);

    for my $what (qw(added changed draining up disabled removed)) {
        ok($g->wait_log(qr/lb: server \Q$name\E in upstream "u" is $what:/),
           "the log says $what");
    }
};


subtest 'a request in flight is finished before its server goes' => sub {
    my ($a, $b) = map { backend(name => $_) } qw(a b);
    my $g = gateway(config($a->server), workers => 2);

    my ($id) = map { $_->{id} } servers($g);
    add($g, $b);

    # two, so that one of them is at the server that goes

    my ($c, $d) = map { client($g) } 1 .. 2;
    $_->send("GET /?delay=1 HTTP/1.1\r\nHost: a\r\n\r\n") for $c, $d;
    ok(wait_for(sub { (grep { $_->{active} == 1 } servers($g)) == 2 }),
       'a request is with each server');

    is(api($g, DELETE => "/u/servers/$id")->{code}, 204, 'one is removed');
    my ($s) = grep { $_->{id} == $id } servers($g);
    is($s->{state}, 'draining', 'it drains');
    is(api($g, PATCH => "/u/servers/$id", { weight => 2 })->{code}, 409,
       'and cannot be changed any more');
    is(api($g, DELETE => "/u/servers/$id")->{code}, 204,
       'to remove it again does no harm');
    is(join('', map { who($g) } 1 .. 3), 'bbb', 'it gets no new requests');
    is(add($g, $a)->{code}, 201, 'the address may come back meanwhile');

    is($_->response->{code}, 200, 'the request is answered') for $c, $d;
    ok(wait_for(sub { !grep { $_->{id} == $id } servers($g) }),
       'and then the server goes');
    ok($g->wait_log(qr/ is removed: deleted through the API/),
       'which is logged');
};


subtest 'a drain with a timeout ends in removal' => sub {
    my ($a, $b, $c) = map { backend(name => $_) } qw(a b c);
    my $g = gateway(config($a->server, $state), workers => 2);

    my ($idle, $busy, $back) = map { add($g, $_)->{json}{id} } $b, $c, $b;
    is($back, undef, 'no address twice');

    my $drain = sub {
        my ($id, %change) = @_;
        return api($g, PATCH => "/u/servers/$id",
                   { state => 'draining', %change });
    };
    my $server = sub {
        my ($id) = @_;
        return (grep { $_->{id} == $id } servers($g))[0];
    };

    is(api($g, PATCH => "/u/servers/$idle", { timeout => 5 })->{code}, 400,
       'it is a drain that has a timeout');
    is(api($g, PATCH => "/u/servers/$idle",
           { state => 'disabled', timeout => 5 })->{code}, 400, 'and no other');
    is($drain->($idle, timeout => -1)->{code}, 400, 'of 0 or more');

    # two requests, of which one is at the server that is drained

    my @c = map { client($g) } 1 .. 3;
    $_->send("GET /?delay=3 HTTP/1.1\r\nHost: a\r\n\r\n") for @c;
    ok(wait_for(sub { (grep { $_->{active} == 1 } servers($g)) == 3 }),
       'a request is with each server');

    my $r = $drain->($busy, timeout => 1000);
    is($r->{code}, 200, 'a busy one drains');
    cmp_ok(abs($r->{json}{drain_until} - time - 1000), '<=', 2,
           'and its end is shown');

    $drain->($idle, timeout => 1000);
    is(api($g, PATCH => "/u/servers/$idle", { state => 'up' })
       ->{json}{drain_until}, undef, 'who is up has none');

    is($_->response->{code}, 200, 'its request is answered') for @c;
    ok(wait_for(sub { !$server->($busy) }), 'and it goes when it is idle');
    ok($g->wait_log(qr/ is removed: its drain is over/), 'which is logged');
    ok($server->($idle), 'the other one stays');

    is(join('', sort map { who($g) } 1 .. 2), 'ab', 'they have turns');
    my @d = map { client($g) } 1 .. 2;
    $_->send("GET /?delay=4 HTTP/1.1\r\nHost: a\r\n\r\n") for @d;
    ok(wait_for(sub { (grep { $_->{active} == 1 } servers($g)) == 2 }),
       'a request is with each of them');

    $drain->($idle, timeout => 1);
    ok(wait_for(sub { my $s = $server->($idle);
                      $s && $s->{reason} eq 'is being removed' }),
       'it is being removed when the time is over');
    is($_->response->{code}, 200, 'and its request is answered') for @d;
    ok(wait_for(sub { !$server->($idle) }), 'it is gone');

    $g->quit;
    $g->start;
    is(list($g) =~ tr/ //, 0, 'for good');
};


subtest 'servers come and go under load, and no client sees it' => sub {
    my @b = map { backend(name => $_) } qw(a b c);
    my $g = gateway(config($b[0]->server, $state), workers => 2);

    my ($n, $bad, %id) = (0, 0);
    my $l = load($g, '/', connections => 16, seconds => 4, each => sub {
        return if ++$n % 10;
        my $b = $b[1 + ($n / 10) % 2];
        if (my $id = delete $id{$b}) {
            $bad++ if api($g, PATCH => "/u/servers/$id",
                          { state => 'draining' })->{code} != 200;
            $bad++ if api($g, DELETE => "/u/servers/$id")->{code} != 204;

        } else {
            my $r = add($g, $b);
            $id{$b} = $r->{json}{id};
            $bad++ if $r->{code} != 201
                      && !($r->{code} == 409 && $r->{body} =~ /already/);
        }
    });

    cmp_ok($n, '>', 400, "there were requests ($n)");
    is($l->{codes}{200}, $l->{total}, 'all are answered')
        or diag(explain($l->{codes}));
    is($bad, 0, 'all changes are made');
    unlike($g->log, qr/\[(alert|crit|emerg)\]/, 'nothing is wrong');
};


subtest 'a reload keeps what was changed at runtime' => sub {
    my @b = map { backend(name => $_) } qw(a b c);
    my ($x, $y, $z) = map { address($_) } @b;
    my $g = gateway(config($b[0]->server . $b[1]->server), workers => 2);
    my %id = map { $_->{address} => $_->{id} } servers($g);

    add($g, $b[2], weight => 2);
    api($g, PATCH => "/u/servers/$id{$x}", { weight => 5 });
    api($g, DELETE => "/u/servers/$id{$y}");
    my $before = list($g);
    is($before, "$x/5/up $z/2/up", 'changed');

    ok($g->reload, 'reloaded');
    is(list($g), $before, 'all as it was, the deleted one stays away');

    ok($g->reload(config($b[0]->server('weight=7') . $b[1]->server)),
       'reloaded with another weight');
    is(list($g), "$x/7/up $z/2/up", 'which is what the line says now');

    my $many = join ' ', map { "server 127.0.0.1:$_ down;" } 1 .. 100;
    ok($g->reload(config($b[0]->server('weight=7') . $b[1]->server . $many)),
       'reloaded with a larger zone');
    is(scalar(grep { $_->{address} eq $z && $_->{weight} == 2 } servers($g)),
       1, 'servers of runtime are in it');
    is(scalar(grep { $_->{address} eq $y } servers($g)), 0,
       'and the deleted one is not');
    my %now = map { $_->{address} => $_->{id} } servers($g);
    is($now{$x}, $id{$x}, 'ids are kept');

    ok($g->reload(config($b[0]->server)), 'reloaded without its line');
    ok($g->reload(config($b[0]->server . $b[1]->server)), 'and with it again');
    is(scalar(grep { $_->{address} eq $y } servers($g)), 1,
       'a line that is new brings it back');
};


subtest 'the state file is the list at a start, memory at a reload' => sub {
    my @b = map { backend(name => $_) } qw(a b c);
    my ($x, $y, $z) = map { address($_) } @b;
    my $g = gateway(config($b[0]->server . $b[1]->server, $state),
                    workers => 2);

    ok(!defined saved($g), 'there is no file before there is a change');
    my %id = map { $_->{address} => $_->{id} } servers($g);

    add($g, $b[2], weight => 2, fail_timeout => '1m30s');
    api($g, DELETE => "/u/servers/$id{$y}");
    api($g, PATCH => "/u/servers/$id{$x}", { state => 'draining' });
    my $before = list($g);
    is(join(' ', map { "$_->{address}/$_->{state}" } @{ saved($g)->{servers} }),
       "$x/draining $z/up", 'what is changed is in the file');
    my %then = map { $_->{address} => $_->{id} } servers($g);

    ok($g->reload, 'reloaded');
    is(list($g), $before, 'memory is the list');
    ok($g->wait_log(qr/line of server \Q$y\E .* no such server/),
       'lines that differ are named');

    $g->kill;
    $g->start;
    is(list($g), $before, 'and the file after a crash');
    is_deeply({ map { $_->{address} => $_->{id} } servers($g) }, \%then,
              'with the same ids');
    is((grep { $_->{address} eq $z } servers($g))[0]{fail_timeout}, '90s',
       'and settings');
    is(who($g), 'c', 'which serves requests');
};


subtest 'the file is whole after kill -9 at any moment' => sub {
    my $b = backend(name => 'a');
    my $g = gateway(config($b->server, $state), workers => 2);

    for my $round (1 .. 4) {
        my $at = time + 0.1 + rand 0.2;
        my $last = '';

        while (time < $at) {
            my $r = add($g, '127.0.0.1:' . (1 + int rand 1000), weight => 9);
            $last = $r->{json}{address} if $r->{code} == 201;
        }

        $g->kill;
        $g->start;
        my $list = list($g);
        like($list, qr/\Q$last\E\/9\/up/, 'the last 201 is there');
        unlike($g->log, qr/is not used/, 'and the file was read');

        for my $s (servers($g)) {
            api($g, DELETE => "/u/servers/$s->{id}")
                if $s->{address} ne address($b);
        }
    }
};


subtest 'a file by hand, a torn one, one that cannot be written' => sub {
    my @b = map { backend(name => $_) } qw(a b);
    my ($x, $y) = map { address($_) } @b;
    my $g = gateway_unstarted(config($b[0]->server, $state));
    my $path = $g->dir . '/state/u.json';
    my $write = sub { open(my $out, '>', $path) or die "$path: $!";
                      print $out @_; close $out };

    mkdir $g->dir . '/state';
    $write->(qq({"servers":[{"address":"$y","weight":4}]}));
    $g->start;
    is(list($g), "$y/4/up", 'a file with addresses and weights is the list');
    is(who($g), 'b', 'that is used');
    $g->quit;

    $write->(qq({"servers":[{"address":"$y","weight":4},));
    my ($code, $error) = $g->test;
    is($code, 0, 'a torn file does not fail nginx -t');
    like($error, qr/u\.json.* is not used/, 'which says so');
    ok(-f $path && !-f "$path.bad", 'and touches nothing');
    $g->start;
    is(list($g), "$x/1/up", 'a torn file is not used');
    ok($g->wait_log(qr/was set aside as "\Q$path.bad\E"/), 'but set aside');
    ok(!-f $path && -f "$path.bad", 'indeed');

    is(add($g, $b[1])->{code}, 201, 'a change makes a new one');
    ok(-f $path, 'here it is');

    rename $g->dir . '/state', $g->dir . '/moved';
    my $r = add($g, '127.0.0.1:1');
    is($r->{code}, 503, 'no place to write to is 503');
    like($r->{body}, qr/state file \\"\Q$path\E\\" cannot be written: /,
         'which names the file');
    like($r->{body}, qr/ failed \(2: No such [^"]*\); nothing was changed"/,
         'and the reason');
    is(list($g), "$x/1/up $y/1/up", 'and nothing has changed');
    ok($g->wait_log(qr/state file .* cannot be written/), 'the log says why');
};


subtest 'changes of several workers go one after the other' => sub {
    my $b = backend(name => 'a');
    my $g = gateway(config($b->server, $state), workers => 4);

    my $l = load($g, '/upstreams/u/servers', connections => 20,
                 requests => 40, keepalive => 0, method => 'POST',
                 headers => { 'Content-Type' => 'application/json' },
                 body => '{"address":"127.0.0.1:9"}');
    is_deeply($l->{codes}, { 201 => 1, 409 => 39 }, 'one of them wins');
    is(scalar @{ saved($g)->{servers} }, 2, 'and is in the file');
};


subtest 'a server that is added with checks on waits for its first' => sub {
    my ($a, $b) = map { backend(name => $_) } qw(a b);
    my $g = gateway(config($a->server,
                           'lb_health_check interval=100ms rise=1 fall=1;'),
                    workers => 2);

    $b->behave(status => 500);
    my $r = add($g, $b);
    is($r->{json}{state}, 'down', 'it is down');
    like($r->{json}{reason}, qr/no health check has passed/, 'and why');
    is(join('', map { who($g) } 1 .. 3), 'aaa', 'no requests');
    my $id = $r->{json}{id};
    ok(wait_for(sub { api($g, GET => "/u/servers/$id")
                      ->{json}{last_check} }), 'it is checked');
    $b->behave;
    ok(wait_for(sub { api($g, GET => "/u/servers/$id")
                      ->{json}{state} eq 'up' }), 'and is up when it passes');
    ok(wait_for(sub { who($g) eq 'b' }), 'and takes requests');
};


subtest 'why a server is down is shown' => sub {
    my ($a, $b) = map { backend(name => $_) } qw(a b);
    my $g = gateway(config($a->server . $b->server), workers => 2);

    $a->kill;
    get($g, '/') for 1 .. 4;
    my ($s) = grep { $_->{address} eq address($a) } servers($g);
    is($s->{state}, 'down', 'it is down');
    like($s->{reason}, qr/connect\(\) failed/, 'with the reason');
    is($s->{failures}, 1, 'and its failures');

    my $metrics = get($g, '/metrics')->{body};
    like($metrics, qr/^lb_server_up\{upstream="u",server="\Q$s->{address}\E"\}
                      \ 0$/mx, 'the metrics say so');
    like($metrics, qr/^lb_server_state\{upstream="u",
                      server="\Q$s->{address}\E",state="$_"\}
                      \ @{[ $_ eq 'down' ? 1 : 0 ]}$/mx, "$_ or not")
        for qw(up down ejected draining disabled);
    like($metrics, qr/^lb_build_info\{version="\d+\.\d+\.\d+"\} 1$/m,
         'and which version this is');
    like($metrics, qr/^lb_retries_total\{upstream="u"\} 1$/m, 'one retry');
    like($metrics, qr/code="2xx"\} 4$/m, 'four answers');
    like($metrics, qr/^lb_response_seconds_count\{upstream="u"\} 4$/m,
         'and their times');
};


done_testing();
