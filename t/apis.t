# What holds for the APIs of both modules: no worker dies of clients that have
# gone before they are answered, whatever it is that would have been said; and
# no worker is held up by a large body.  And what holds for the locations, and
# the processes, that both are in.
#
# Freed memory is filled with a pattern, so that who uses it is seen.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Clients qw(api put);
use Gateway;
use Test::More;

my $backend = backend(name => 'a');
my $redis   = redis();


sub node
{
    my ($store, $state) = @_;

    my $scope = $store =~ /redis/ ? 'scope=global' : '';

    return gateway(<<"END", env => { MALLOC_PERTURB_ => 165 });
        tbucket_zone \$arg_key zone=z:1m rate=10r/s $scope;
        $store
        upstream u { lb round_robin; $state @{[ $backend->server ]} }
        server {
            listen 127.0.0.1:%%PORT%%;
            client_max_body_size 40m;
            location / { tbucket zone=z; return 204; }
            location /clients { tbucket_api zone=z write=on; }
            location /upstreams { lb_api write=on; }
            location /tbucket { tbucket_metrics; }
            location /lb { lb_metrics; }
            location /large {
                client_body_in_file_only clean;
                location /large/clients { tbucket_api zone=z write=on; }
                location /large/upstreams { lb_api write=on; }
            }
        }
END
}


sub text
{
    my ($method, $uri, $body, $agent) = @_;

    $body  //= '';
    $agent //= 'none';

    return "$method $uri HTTP/1.1\r\nHost: a\r\nUser-Agent: $agent\r\n"
           . 'Content-Length: ' . length($body)
           . "\r\nContent-Type: application/json\r\n\r\n$body";
}


my $limits = '{"capacity":5,"rate_per_sec":1}';
my $client = '{"client_id":"a","capacity":5,"rate_per_sec":1}';

# whether there is something to be changed, to be told, or neither

my @requests = (
    text('PUT', '/clients/a', $limits),     text('POST', '/clients', $client),
    text('PATCH', '/clients/a', '{"capacity":6,"tokens":2}'),
    text('PATCH', '/clients/b', '{"capacity":6}'),
    text('POST', '/clients', '[' . join(',', map {
        qq({"client_id":"$_","capacity":5,"rate_per_sec":1}) } 1 .. 500) . ']'),
    text('POST', '/clients', '[]'),         text('PUT', '/clients/a', '{'),
    text('DELETE', '/clients/nobody'),      text('GET', '/clients?limit=1000'),
    text('GET', '/clients/a'),              text('GET', '/tbucket'),
    text('POST', '/upstreams/u/servers',
         '{"address":"' . $backend->address . '"}'),
    text('PATCH', '/upstreams/u/servers/1', '{"weight":2}'),
    text('PATCH', '/upstreams/u/servers/9', '{"weight":2}'),
    text('DELETE', '/upstreams/u/servers/9'),
    text('POST', '/upstreams/u/servers', ' ' x 300_000),
    text('GET', '/upstreams'),              text('GET', '/lb'),
);


# Requests of clients that go at once, and of some that go with the next one
# under way.

sub gone
{
    my ($g, @texts) = @_;

    my @workers = $g->workers;

    for my $n (1 .. 30) {
        for my $text (@texts) {
            my $c = client($g);
            $c->send($n % 3 ? $text : $text x 2);
            $c->reset;
        }
    }

    ok(wait_for(sub { get($g, '/')->{code} == 204 }), 'requests are answered');
    is("@{[ $g->workers ]}", "@workers", 'by the workers that there were');
    unlike($g->log, qr/exited on signal|count is zero/, 'nobody has died');
}


# The answer to an array without clients.

sub nobody
{
    my ($g) = @_;

    my $r = api($g, 'POST', '/clients', []);

    return "$r->{code} $r->{body}";
}


for (['memory', '', ''],
     ['SQLite', 'tbucket_store sqlite:%%DIR%%/c.db;',
      'lb_state %%DIR%%/servers.json;'],
     ['Redis', 'tbucket_store ' . $redis->url . ';', ''])
{
    my ($name, $store, $state) = @$_;

    subtest "changes are answered from $name" => sub {
        my $g = node($store, $state);

        gone($g, @requests);
        is(put($g, 'new', 7, 1), 201, 'and make changes');
        is(nobody($g), qq(200 {"created":0,"updated":0}\n), 'of no client, too');
        is($g->quit, 0, 'nothing is left that would be waited for');
    };
}


subtest 'changes are refused at once' => sub {
    my $g = node('tbucket_store ' . $redis->url . ';', '');

    $redis->kill;
    ok($g->wait_log(qr/redis .* is unreachable/), 'Redis is away');
    gone($g, @requests);
    is(nobody($g), qq(200 {"created":0,"updated":0}\n), 'no client, no refusal');
    is($g->quit, 0, 'nothing is left that would be waited for');
    $redis->start_again;
};


subtest 'requests wait for a lease' => sub {
    my $g = node('tbucket_store ' . $redis->url . ' timeout=5s;', '');

    ok(wait_for(sub { get($g, '/?key=first')->{code} == 204 }), 'leases');
    gone($g, map { text('GET', "/?key=$_") } 1 .. 20);

    # those that have gone when the answer comes, and those that have not

    $redis->pause;
    my @clients = map { client($g) } 1 .. 60;
    $clients[$_]->send(text('GET', '/?key=paused' . $_ % 20)) for 0 .. 59;
    $clients[$_]->reset for grep { $_ % 2 } 0 .. 59;
    $redis->resume;

    is(scalar(grep { ($clients[$_]->response->{code} // 0) == 204 }
              grep { $_ % 2 == 0 } 0 .. 59), 30, 'who waits is admitted');
    gone($g, text('GET', '/?key=last'));
    is($g->quit, 0, 'nothing is left that would be waited for');
};


# Of two requests that are under way together, the method of the one that is
# first in the access log.

sub first
{
    my ($g, $n, $uri, $body) = @_;

    my ($large, $small) = map { client($g) } 1 .. 2;
    my $text = text('POST', $uri, $body, "n$n");

    $large->send(substr($text, 0, -1));
    $small->send(text('GET', '/'));
    $small->response;

    # until nginx has got as much, but for what fits a buffer

    wait_for(sub {
        grep { -s > length($body) - 20_000 }
             glob($g->dir . '/client_body/*')
    });

    $large->send(substr($text, -1));
    $small->send(text('GET', '/', '', "n$n"));

    is($large->response->{code}, 400, "$uri: the large one is answered");

    my @methods;
    wait_for(sub {
        @methods = $g->access_log =~ m{"(\w+) /[^"]*" \d+ \d+ "-" "n$n"}g;
        return @methods == 2;
    });

    return $methods[0];
}


subtest 'others are answered while a large body is read' => sub {
    my $g = node('', '');
    my $spaces = ' ' x 30_000_000;
    my $n = 0;

    # how fast the small one comes after the last byte is not ours to say

    for my $uri ('/large/upstreams/u/servers', '/large/clients') {
        my $first = '';

        for (1 .. 5) {
            $first = first($g, ++$n, $uri, $spaces);
            last if $first eq 'GET';
        }

        is($first, 'GET', "$uri: a small one is answered before it");
    }
};


# Each of ours with each other, and with nginx's own, in both orders.

subtest 'a location has one that answers its requests' => sub {
    my @ours = ('tbucket_api zone=z', 'tbucket_metrics', 'lb_api',
                'lb_metrics');
    my ($code, $err);

    for my $first (@ours) {
        for my $second (@ours, 'proxy_pass http://127.0.0.1:1') {
            for my $pair ("$first; $second;", "$second; $first;") {
                ($code, $err) = check(<<"END");
                    tbucket_zone all zone=z:1m rate=1r/s;
                    server {
                        listen 127.0.0.1:%%PORT%%;
                        location /a { $pair }
                    }
END
                my ($a, $b) = map { /^(\w+)/ } $first, $second;

                isnt($code, 0, "refused: $pair");
                like($err, $a eq $b
                     ? qr/\[emerg\] .*"$a" .*is duplicate in .*:\d+/
                     : qr/\[emerg\] (?=.*"$a")(?=.*"$b").* in .*:\d+/,
                     'and both are named');
            }
        }
    }
};


subtest 'in "if" and "limit_except" the location is the same' => sub {
    my $g = gateway(<<'END');
        tbucket_zone all zone=z:1m rate=1r/s;
        upstream u { lb round_robin; server 127.0.0.1:1; }
        server {
            listen 127.0.0.1:%%PORT%%;
            location /clients {
                tbucket_api zone=z write=on;
                limit_except GET { allow all; }
                if ($arg_other) { proxy_pass http://127.0.0.1:1; }
            }
            location /upstreams {
                lb_api;
                limit_except GET { allow all; }
                if ($arg_other) { proxy_pass http://127.0.0.1:1; }
            }
            location /metrics { lb_metrics; if ($arg_a) { set $a 1; } }
        }
END

    is(put($g, 'a', 1, 1), 201, 'a change of clients');
    is(api($g, DELETE => '/upstreams/u/servers/1')->{code}, 405,
       'one of servers is refused as it would be');
    is(get($g, '/metrics?a=1')->{code}, 200, 'metrics');
    is(get($g, "$_?other=1")->{code}, 502, 'another handler has what it wants')
        for '/clients', '/upstreams';
};


subtest 'one process is not reloaded' => sub {
    my $g = gateway(<<"END", master => 0);
        tbucket_zone all zone=z:1m rate=1r/s;
        tbucket_store sqlite:%%DIR%%/c.db;
        upstream u {
            lb round_robin; lb_state %%DIR%%/servers.json;
            lb_health_check interval=100ms; @{[ $backend->server ]}
        }
        server {
            listen 127.0.0.1:%%PORT%%;
            location / { proxy_pass http://u; }
            location /clients { tbucket_api zone=z write=on; }
            location /upstreams { lb_api write=on; }
        }
END

    kill('HUP', $g->pid);
    ok($g->wait_log(qr/\[emerg\] .*"master_process off" the configuration can/),
       'which is said');

    is(get($g, '/')->{code}, 200, 'requests are answered as before');
    is(put($g, 'a', 1, 1), 201, 'clients are changed');
    is(api($g, PATCH => '/upstreams/u/servers/1', { weight => 2 })->{code},
       200, 'and servers');
    is($g->quit, 0, 'and it stops');
    unlike($g->log, qr/\[(?:alert|crit)\]/, 'with nothing to complain of');
};


done_testing();
