# A balancer's life: backends that die under load, reloads, killed workers,
# full servers, connections that are kept, TLS.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Test::More;
use Time::HiRes qw(time);

my $location = 'location / { proxy_pass http://u; proxy_connect_timeout 2s; }';

# the upstream's text, with servers to be spread over lines of parameters

sub upstream
{
    my ($servers, $more) = @_;

    return "upstream u { lb round_robin; $servers @{[ $more // '' ]} }\n"
           . "server { listen 127.0.0.1:%%PORT%%;\n"
           . "add_header X-Lb \"\$lb_server \$lb_tries\" always;\n"
           . "$location }\n";
}


sub order
{
    my ($g, $n) = @_;
    return join '', map { get($g, '/')->{body} =~ /"backend":"(\w+)"/
                          ? $1 : '-' } 1 .. $n;
}


subtest 'backends die and return under load, and no client sees it' => sub {
    my @b = map { backend(name => $_) } qw(a b c);
    my $g = gateway(upstream(join(' ', map { $_->server } @b)), workers => 2);

    my $n = 0;
    my $l = load($g, '/', connections => 32, requests => 4000,
                 each => sub {
                     $n++;
                     $b[0]->kill if $n == 500;
                     $b[1]->kill if $n == 1000;
                     $b[0]->start_again if $n == 1500;
                     $b[2]->kill if $n == 2000;
                     $b[1]->start_again if $n == 2500;
                     $b[0]->kill if $n == 3000;
                 });

    is($l->{codes}{200}, 4000, 'all requests are answered')
        or diag(explain($l->{codes}), $l->{error});

    my $log = $g->log;
    my $down = () = $log =~ /lb: server \S+ in upstream "u" is down: /g;
    cmp_ok($down, '>=', 3, 'servers that went down are logged');
    cmp_ok($down, '<', 40, 'once, not with every request');
    my $retries = () = $log =~ /lb: retrying on /g;
    cmp_ok($retries, '<', 60, 'retries are logged once a second');
    like($log, qr/is down: [^;\n]+ \(\d+: [^;\n]+\), 1 failure; \d of 3/,
         'with reason and count');
};


subtest 'all dead, then one returns' => sub {
    my @b = map { backend(name => $_) } qw(a b);
    my $g = gateway(upstream(join ' ', map { $_->server } @b), workers => 2);

    $_->kill for @b;
    is(get($g, '/')->{code}, 502, 'nobody left is 502');
    ok($g->wait_log(qr/lb: no live servers in upstream "u"/),
       'and the log says so');

    my $l = load($g, '/', connections => 50, requests => 500, keepalive => 0);
    is($l->{codes}{502}, 500, 'so are all further requests');
    my $lines = () = $g->log =~ /lb: /g;
    cmp_ok($lines, '<', 20, 'without a storm in the log');

    $b[1]->start_again;
    is(get($g, '/')->{code}, 200, 'who returns is found at once');
    ok(wait_for(sub { get($g, '/'); $g->log =~ /is up: .*; 1 of 2 servers/ }),
       'and is declared up');
};


subtest 'a failed server is left alone for fail_timeout, then tried once' => sub {
    my $bad = backend(name => 'bad');
    my $good = backend(name => 'good');
    my $g = gateway(upstream($bad->server('fail_timeout=2s')
                             . $good->server), workers => 2);

    $bad->behave(action => 'reset');
    is(get($g, '/')->{code}, 200, 'a failure is not seen') for 1 .. 3;
    my $before = $bad->requests;
    is($before, 1, 'one request has failed');

    my $until = time + 1.5;
    my $sent = 0;
    $sent++ while time < $until && get($g, '/')->{code} == 200;
    cmp_ok($sent, '>', 5, 'requests go on');
    is(scalar $bad->requests, 1, 'none of them to the failed one');

    ok(wait_for(sub { get($g, '/'); $bad->requests > 1 }),
       'after fail_timeout it gets another');
    get($g, '/') for 1 .. 10;
    is(scalar $bad->requests, 2, 'a single one');

    $bad->behave;
    ok(wait_for(sub { get($g, '/'); $g->log =~ /is up: / }),
       'a trial that succeeds brings it back');
    get($g, '/') for 1 .. 4;
    cmp_ok(scalar $bad->requests, '>=', 4, 'and it takes its turns');
};


subtest 'failures count within fail_timeout only' => sub {
    my $bad = backend(name => 'bad');
    my $good = backend(name => 'good');
    my $g = gateway(upstream($bad->server('max_fails=3 fail_timeout=1s')
                             . $good->server));

    $bad->behave(status => 200, action => 'close');
    get($g, '/') for 1 .. 2;
    is(scalar $bad->requests, 2, 'two failures');
    my $at = time;
    wait_for(sub { time > $at + 1.1 });
    get($g, '/') for 1 .. 2;
    is(scalar $bad->requests, 4, 'and two after a second');
    unlike($g->log, qr/is down/, 'do no harm');
    get($g, '/');
    ok($g->wait_log(qr/is down: .*, 3 failures; 1 of 2/), 'a third one does');
};


subtest 'max_conns holds over all workers' => sub {
    my $b = backend(name => 'a');
    my $g = gateway(upstream($b->server('max_conns=3')), workers => 2);

    my $l = load($g, '/?delay=0.5', connections => 20, requests => 20,
                 keepalive => 0);
    is($l->{codes}{200}, 3, 'as many as it may');
    is($l->{codes}{502}, 17, 'no more');
    is(order($g, 1), 'a', 'and it is free again');
};


subtest 'a reload keeps what is known of servers' => sub {
    my @b = map { backend(name => $_) } qw(a b c);
    my $text = sub {
        upstream(join ' ', map { $b[$_]->server('fail_timeout=60s') } @_)
    };
    my $g = gateway($text->(0, 1, 2), workers => 2, log_level => 'notice');

    is(order($g, 4), 'abca', 'in turns');
    ok($g->reload, 'the same configuration');
    is(order($g, 2), 'bc', 'goes on where it was');

    $b[0]->kill;
    is(order($g, 1), 'b', 'one fails');
    $b[0]->start_again;
    my $count = $b[0]->requests;
    ok($g->reload, 'a reload');
    unlike(order($g, 6), qr/a/, 'does not bring it back');

    $g->mark;
    ok($g->reload($text->(1, 0)), 'one server less');
    ok($g->wait_log(qr/lb: server \S+ in upstream "u" is removed: .*; 1 of 2/),
       'is logged');
    is(order($g, 4), 'bbbb', 'and gets no requests, nor does the failed one');

    $g->mark;
    ok(!$g->reload($text->(1, 0, 2) . 'nonsense;'), 'a refused reload');
    ok(!$g->reload($text->(1, 0, 2)
       . 'server { listen 192.0.2.1:80; location / { } }'),
       'or one that fails late');
    is(order($g, 3), 'bbb', 'changes nothing');

    ok($g->reload($text->(1, 0, 2)), 'a server more');
    ok($g->wait_log(qr/lb: server \S+ in upstream "u" is added: .*; 2 of 3/),
       'is logged');
    is(join('', sort split //, order($g, 4)), 'bbcc', 'and takes its turns');

    ok($g->reload($text->(1, 0, 2) =~ s/lb round_robin;/$& lb_zone 8m;/r),
       'another size of zone');
    is(join('', sort split //, order($g, 4)), 'bbcc',
       'keeps what is known as well');
};


subtest 'requests in flight end well over a reload that removes their server' => sub {
    my @b = map { backend(name => $_) } qw(a b);
    my $g = gateway(upstream($b[0]->server . $b[1]->server));

    my $c = client($g);
    $c->send("GET /?delay=1 HTTP/1.1\r\nHost: x\r\n\r\n");
    ok(wait_for(sub { $b[0]->requests == 1 }), 'a request is there');
    CORE::kill('HUP', $g->pid);
    ok($g->reload(upstream($b[1]->server)), 'the server is removed');
    is($c->response->{code}, 200, 'the request is answered');
    is(order($g, 2), 'bb', 'the other one serves');
};


subtest 'killed workers leave nothing behind' => sub {
    my @b = map { backend(name => $_) } qw(a b);
    my $g = gateway(upstream(join ' ', map { $_->server('max_conns=20') } @b),
                    workers => 2);
    my $end = time + 20;
    my $kills = 0;
    my $next = time + 0.2;

    my $l = load($g, '/?delay=0.01', connections => 16, seconds => 20,
                 each => sub {
                     return if time < $next || time > $end - 0.5;
                     my @w = $g->workers;
                     return if !@w;
                     CORE::kill('KILL', $w[$kills++ % @w]);
                     $next = time + 0.2;
                 });

    cmp_ok($kills, '>=', 40, "$kills workers killed");
    cmp_ok($l->{codes}{200} // 0, '>', 200, 'requests went on');
    is($l->{codes}{502} // 0, 0, 'no server was taken for full or dead');

    # exactly max_conns places each are free again

    ok($g->wait_workers(2), 'two workers');
    ok(wait_for(sub {
        my $m = load($g, '/?delay=0.7', connections => 60, requests => 60,
                     keepalive => 0);
        return ($m->{codes}{200} // 0) == 40 && $m->{codes}{502} == 20;
    }), 'the servers have all their places, and no more');
    unlike($g->log, qr/\[alert\](?!.*exited on signal 9)(?!.*was locked by)/,
           'nothing alarming is logged');
};


subtest "nginx's keepalive keeps connections, and a closed one is no failure" => sub {
    my @b = map { backend(name => $_) } qw(a b);
    my $g = gateway(
        upstream(join(' ', map { $_->server } @b), 'keepalive 8;')
        =~ s/proxy_pass/proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass/r);

    is(order($g, 4), 'abab', 'in turns');
    $b[0]->kill; $b[0]->start_again;
    is(order($g, 2), 'ab', 'a server that was restarted keeps its turn');
    unlike($g->log, qr/lb: /, 'nobody takes it for dead');
};


subtest 'master_process off' => sub {
    my @b = map { backend(name => $_) } qw(a b);
    my $g = gateway(upstream(join ' ', map { $_->server } @b), master => 0);

    is(order($g, 4), 'abab', 'in turns');
    is($g->quit, 0, 'and it stops');
};


done_testing();
