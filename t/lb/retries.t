# How often, and where, a request is tried again: never beyond
# proxy_next_upstream_tries but for one kept connection that was of no use,
# and an answer is not given up for a server that cannot be asked.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Test::More;
use Time::HiRes qw(sleep);

subtest 'a request that kills its server is not sent by every connection' =>
    \&poison;
subtest 'kept connections that the server has left' => \&stale;
subtest 'the last answer is for the client' => \&last_answer;

done_testing();


sub poison
{
    my $dies = sub {
        my ($r) = @_;
        return $r->{uri} =~ /kill-late/ ? { action => 'mid-header' }
             : $r->{uri} =~ /kill/      ? { action => 'close' } : {};
    };
    my @b = map { backend(name => $_, answer => $dies) } qw(a b c);
    my @servers = map { $_->server('max_fails=0') } @b;
    my $g = gateway(<<"END");
        upstream one { lb round_robin; $servers[0] }
        upstream all { lb round_robin; @servers }
        upstream key { lb hash a; @servers }
        server { listen 127.0.0.1:%%PORT%%;
                 proxy_http_version 1.1; proxy_set_header Connection "";
                 proxy_next_upstream_tries 2;
                 location /one { proxy_pass http://one; }
                 location /all { proxy_pass http://all; }
                 location /key { proxy_pass http://key; }
                 location /off { proxy_pass http://all;
                                 proxy_next_upstream off; }
                 location = /lb { lb_metrics; } }
END
    my $sent = sub { scalar map { $_->requests } @b };
    my $failures = sub {
        my $text = get($g, '/lb')->{body};
        my $sum = 0;
        $sum += $1 while $text =~ /^lb_failures_total\{.*\} (\d+)/mg;
        return $sum;
    };

    for (['/one/kill', 2, 1], ['/all/kill', 3, 2], ['/key/kill', 3, 2],
         ['/all/kill-late', 2, 2], ['/off/kill', 1, 0])
    {
        my ($uri, $most, $counted) = @$_;

        # many connections, by requests that take a while

        load($g, $uri =~ s/kill.*/?delay=0.2/r, connections => 24,
             requests => 24);

        my ($before, $failed) = ($sent->(), $failures->());

        is(get($g, $uri)->{code}, 502, "$uri");
        is($sent->() - $before, $most, "... $most attempts");
        is($failures->() - $failed, $counted, "... $counted failures");
    }
}


# A server goes and comes back while the worker is stopped, with a request in
# its queue: so it uses a connection before it sees that this is closed.

sub stale
{
    my $b = backend(name => 'a');
    my $g = gateway(<<"END");
        upstream u { lb round_robin; @{[ $b->server ]} }
        server { listen 127.0.0.1:%%PORT%%;
                 proxy_http_version 1.1; proxy_set_header Connection "";
                 proxy_next_upstream_tries 1;
                 location / { proxy_pass http://u; } }
END
    my ($worker) = $g->workers;
    my $body = 'x' x 100;

    for (['GET', '/', 'a fresh connection is made'],
         ['POST', '/', 'a request that may be sent once is sent on none'])
    {
        my ($method, $uri, $what) = @$_;

        load($g, '/?delay=0.2', connections => 8, requests => 8);

        my $c = client($g);
        $c->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        $c->response;

        kill('STOP', $worker);
        $c->send("$method $uri HTTP/1.1\r\nHost: a\r\n"
                 . 'Content-Length: ' . length($body) . "\r\n\r\n$body");
        $b->kill;
        $b->start_again;
        kill('CONT', $worker);

        is($c->response->{code}, 200, "$method $uri: $what");
    }

    unlike($g->log, qr/is down/, 'nobody is taken for down');
}


sub last_answer
{
    my $busy = backend(name => 'busy', answer => sub {
        my ($r) = @_;
        return {} if $r->{uri} =~ /healthz/;
        return { status => 503, body => 'maintenance',
                 delay => $r->{uri} =~ /slow/ ? 0.5 : 0,
                 headers => { 'Retry-After' => 120 } };
    });
    my $sick = backend(name => 'sick', answer => sub {
        my ($r) = @_;
        return { status => $r->{uri} =~ /healthz/ ? 500 : 200,
                 delay => $r->{uri} =~ /hold/ ? 20 : 0, body => 'fine' };
    });
    my $gone = Gateway::free_port();
    my ($a, $b) = ($busy->server('max_fails=0'), $sick->server);
    my $unhealthy = 'lb_health_check uri=/healthz interval=100ms fall=1;';

    my %upstream = (
        checked  => [503, "lb round_robin; $unhealthy $b $a"],
        drained  => [503, "lb round_robin; $a $b"],
        disabled => [503, "lb least_conn; $a $b"],
        down     => [503, "lb p2c; $a " . $sick->server('down')],
        full     => [503, "lb round_robin; $a "
                          . $sick->server('max_conns=1')],
        marked   => [503, "lb round_robin; $a server 127.0.0.1:$gone;"],
        backup   => [200, "lb round_robin; $a " . $sick->server('backup')],
        panic    => [200, "lb round_robin; lb_panic 100; $unhealthy $a $b"],
        limit    => [200, "lb hash a; $a "
                          . $sick->server('max_conns=1')],
        trial    => [200, "lb round_robin; "
                          . $busy->server('fail_timeout=1s')
                          . $sick->server('backup')],
        tried    => [503, "lb round_robin; " . $busy->server('max_fails=0')
                          x 3],
        late     => [503, "lb round_robin; $a $b"],
    );

    my $upstreams = join '', map {
        "upstream $_ { $upstream{$_}[1] }\n"
    } sort keys %upstream;

    my $g = gateway(<<"END");
        $upstreams
        proxy_next_upstream error timeout http_503;
        server {
            listen 127.0.0.1:%%PORT%%;
            location ~ ^/(\\w+)/ { proxy_pass http://\$1; }
            location ^~ /upstreams { lb_api write=on; }
        }
END
    my $state = sub {
        my ($upstream, $id, $state) = @_;
        is(request($g, 'PATCH', "/upstreams/$upstream/servers/$id",
                   headers => { 'Content-Type' => 'application/json' },
                   body => qq({"state":"$state"}))->{code}, 200,
           "$upstream: $state");
    };

    for my $upstream (qw(checked panic)) {
        ok($g->wait_log(qr/"$upstream" is down/), "$upstream: one is down");
    }

    $state->('drained', 2, 'draining');
    $state->('disabled', 2, 'disabled');

    my $held = client($g);
    $held->send("GET /full/hold HTTP/1.1\r\nHost: a\r\n\r\n");
    ok(wait_for(sub { grep { /hold/ } $sick->requests }), 'full: one is');
    get($g, '/marked/') for 1 .. 2;
    like($g->log, qr/"marked" is down/, 'marked: one is down');

    for my $upstream (sort grep { $_ ne 'late' } keys %upstream) {
        my $wanted = $upstream{$upstream}[0];

        for my $n (1 .. 2) {
            my $r = get($g, "/$upstream/x");

            is($r->{code}, $wanted, "$upstream: $wanted");
            is_deeply([$r->{body}, $r->{headers}{'retry-after'}],
                      $wanted == 200 ? ['fine', undef]
                                     : ['maintenance', 120],
                      '... as the server has it');
        }
    }

    # a server that is tried again says no

    sleep(1.1);
    is(get($g, '/trial/x')->{code}, 200, 'trial: there is another one');
    like($g->log, qr/retrying on .*"GET \/trial\/x/, '... it was one');

    # the other one goes while the answer is waited for

    my $slow = client($g);
    $slow->send("GET /late/slow HTTP/1.1\r\nHost: a\r\n\r\n");
    ok(wait_for(sub { grep { /late/ } $busy->requests }), 'late: asked');
    $state->('late', 2, 'disabled');
    is($slow->response->{code}, 503, 'late: the status at least');
}
