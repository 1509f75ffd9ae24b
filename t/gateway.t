# The tool of the scenario tests: nginx, backends, clients and Redis do what
# Gateway.pm says they do.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Gateway;
use Test::More;
use Time::HiRes qw(time);

my $text = <<'END';
    upstream u { server 127.0.0.1:%%PORT_b%%; keepalive 8; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / {
            proxy_pass http://u;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
        location = /who { return 200 "one $pid\n"; }
    }
END

subtest 'nginx starts, reloads, loses a worker and stops' => sub {
    my $g = gateway($text, workers => 2, modules => []);
    my @first = $g->workers;

    is(@first, 2, 'both workers run when start returns');
    like(get($g, '/who')->{body}, qr/^one \d+\n$/, 'and it answers');

    CORE::kill('KILL', $first[0]);
    ok($g->wait_log(qr/worker process $first[0] exited on signal 9/),
       'a killed worker is seen in the log');
    my @second = $g->wait_workers(2);
    ok(!grep({ $_ == $first[0] } @second), 'and another takes its place');

    ok($g->reload($text =~ s/one/two/r), 'a reload is waited for');
    my $l = load($g, '/who', connections => 16, requests => 200,
                 keepalive => 0);
    is($l->{codes}{200}, 200, 'all requests after it are answered');
    ok(!grep({ /one/ } keys %{ $l->{bodies} }),
       'by workers of the new generation');

    $g->mark;
    ok(!$g->reload('nonsense;'), 'a refused reload is told');
    unlike($g->log, qr/start worker/, 'and starts no worker');
    like($g->wait_log(qr/emerg/), qr/unknown directive "nonsense"/,
         'the reason is in the log');

    is($g->quit, 0, 'quit ends with exit code 0');
    ok(!$g->running, 'and nothing runs');
};

subtest 'a configuration is checked' => sub {
    my ($code, $err) = check('server { listen 127.0.0.1:%%PORT%%; }',
                             modules => []);
    is($code, 0, 'a right one') or diag($err);

    ($code, $err) = check('nonsense on;', modules => []);
    is($code, 1, 'a wrong one');
    like($err, qr/\[emerg\] .*unknown directive "nonsense" in .*conf:\d+/,
         'with the reason and the line');
};

subtest 'backends behave as told' => sub {
    my $b = backend(name => 'x', answer => sub {
        my ($r) = @_;
        return $r->{uri} eq '/n' ? { body => "n $r->{n}" } : {};
    });
    my $g = gateway($text, modules => []);
    my $direct = $b->port;

    is(get($direct, '/?status=503')->{code}, 503, 'status');
    is(get($direct, '/n')->{body}, 'n 2', 'an answer of the test');
    is(get($direct, '/')->{headers}{'x-backend'}, 'x', 'its name');
    is(length get($direct, '/?size=100000')->{body}, 100000, 'size');

    my $begin = time();
    get($direct, '/?delay=0.2');
    cmp_ok(time() - $begin, '>=', 0.2, 'delay');

    like(get($direct, '/?action=reset')->{error}, qr/reset/, 'reset');
    like(get($direct, '/?action=close')->{error}, qr/^closed$/, 'close');
    like(get($direct, '/?action=mid-header')->{error}, qr/./,
         'half a header');
    is(get($direct, '/?action=mid-body')->{code}, 0, 'half a body');
    is(get($direct, '/?action=hang', timeout => 0.2)->{error}, 'timed out',
       'hang');

    is(scalar(my @uris = $b->requests), 10, 'requests are counted');

    $b->behave(status => 500);
    is(get($direct, '/')->{code}, 500, 'all requests behave');
    $b->behave;
    is(get($direct, '/')->{code}, 200, 'until they no longer do');

    $b->pause;
    is(get($direct, '/', timeout => 0.2)->{error}, 'timed out', 'paused');
    $b->resume;
    is(get($direct, '/')->{code}, 200, 'resumed');

    $b->kill;
    like(get($direct, '/')->{error}, qr/refused/, 'killed');
    $b->start_again;
    is(get($direct, '/')->{code}, 200, 'started again, on its port');

    my $u = backend(unix => 1);
    is(get($u->address, '/')->{code}, 200, 'over a unix socket');
};

subtest 'many clients at once' => sub {
    my $b = backend(name => 'x');
    my $g = gateway($text =~ s/%%PORT_b%%/$b->port/er, modules => []);

    my $l = load($g, sub { "/$_[0]" }, connections => 64, requests => 1000);
    is($l->{total}, 1000, 'as many requests as asked for');
    is($l->{codes}{200}, 1000, 'all answered');
    is($l->{errors}, 0, 'without an error');
    is(scalar(my @uris = $b->requests), 1000, 'each once');

    $l = load($g, '/', connections => 4, seconds => 0.3);
    cmp_ok($l->{seconds}, '>=', 0.3, 'for as long as asked for');
    is($l->{codes}{200}, $l->{total}, 'all answered');

    my $c = client($g);
    $c->send("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\n"
             . "Host: a\r\n\r\n");
    like($c->response->{body}, qr{"/a"}, 'pipelined by hand, the first');
    like($c->response->{body}, qr{"/b"}, 'and the second');
    $c->close;

    is(request($g, 'POST', '/', body => '{}')->{code}, 200, 'POST');
    is(request($g, 'HEAD', '/')->{body}, '', 'HEAD');
};

subtest 'Redis' => sub {
    my $r = redis(password => 'secret', appendonly => 1);

    is($r->command('SET', 'k', 'v'), 'OK', 'a command');
    $r->kill;
    $r->start_again;
    is($r->command('GET', 'k'), 'v', 'data outlives a kill');
    is_deeply($r->command('KEYS', '*'), ['k'], 'a list');
    eval { $r->command('NOSUCH') };
    like($@, qr/unknown command/, 'an error dies');

    my $s = sentinel(master => $r, name => 'm');
    is($s->command('SENTINEL', 'get-master-addr-by-name', 'm')->[1],
       $r->port, 'a sentinel knows the master');

    is(redis(unix => 1)->command('PING'), 'PONG', 'over a unix socket');
};

done_testing();
