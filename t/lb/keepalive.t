# Idle connections to servers: kept and used again per server, bounded in
# number, age, requests and idle time, and never at the cost of a request.
# The servers are nginx, whose $connection tells connections apart.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Gateway::Process qw(fork_child);
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep);

my $to = gateway(<<'_EOC_', workers => 1);
    keepalive_requests 10000;
    server {
        listen 127.0.0.1:%%PORT%%;
        listen 127.0.0.1:%%PORT_b%%;
        location / { return 200 "$server_port $connection $connection_requests"; }
    }
    server {
        listen 127.0.0.1:%%PORT_short%%;
        keepalive_timeout 100ms;
        location / { return 200 "$connection"; }
    }
_EOC_

my ($a, $b, $short) = ($to->port, $to->port('b'), $to->port('short'));

# what an upstream with these lines answers to n requests, one at a time

sub answers
{
    my ($n, $lines, $location, %option) = @_;

    my $g = gateway(<<"_EOC_", %option);
    upstream u { lb round_robin; $lines }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / {
            proxy_pass http://u;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            $location
        }
    }
_EOC_

    my @got = map {
        sleep($option{pause}) if $option{pause};
        my $r = get($g, '/');
        is($r->{code}, 200, 'a request is answered');
        $r->{body};
    } 1 .. $n;

    $g->quit;

    return @got;
}


sub distinct { my %seen; return scalar grep { !$seen{$_}++ } @_ }

my @got = answers(6, "server 127.0.0.1:$a;", '');
is_deeply([map { (split)[2] } @got], [1 .. 6],
          'one connection serves them all, without being asked to');

@got = answers(8, "server 127.0.0.1:$a; server 127.0.0.1:$b;", '');
is(distinct(map { join ' ', (split)[0, 1] } @got), 2,
   'each server has its connection');

@got = answers(4, "server 127.0.0.1:$a; lb_keepalive 0;", '');
is_deeply([map { (split)[2] } @got], [1, 1, 1, 1],
          'lb_keepalive 0 keeps none');

@got = answers(6, "server 127.0.0.1:$a; lb_keepalive 4 requests=2;", '');
is_deeply([map { (split)[2] } @got], [1, 2, 1, 2, 1, 2],
          'a connection ends after as many requests as are allowed');

@got = answers(3, "server 127.0.0.1:$a; lb_keepalive 4 timeout=50ms;", '',
               pause => 0.3);
is_deeply([map { (split)[2] } @got], [1, 1, 1],
          'a connection ends when it has been idle for long enough');

@got = answers(3, "server 127.0.0.1:$a; lb_keepalive 4 time=50ms;", '',
               pause => 0.3);
is_deeply([map { (split)[2] } @got], [1, 2, 1],
          'a connection that is old enough ends with its next request');

@got = answers(4, "server 127.0.0.1:$a; lb_keepalive 0; keepalive 4;", '');
is_deeply([map { (split)[2] } @got], [1 .. 4],
          "nginx's own keepalive works where ours is off");

@got = answers(4, "server 127.0.0.1:$a; keepalive 4; keepalive_requests 2;",
               '');
is_deeply([map { (split)[2] } @got], [1, 2, 1, 2],
          "nginx's own keepalive is in force where ours is not given");

if (version() ge v1.29.7) {
    @got = answers(4, "server 127.0.0.1:$a; keepalive_requests 2;", '');
    is_deeply([map { (split)[2] } @got], [1, 2, 1, 2],
              '... also by one of its parameters');

    @got = answers(3, "server 127.0.0.1:$a; keepalive 0;", '');
    is_deeply([map { (split)[2] } @got], [1, 1, 1], '... and off by it');
}

@got = answers(3, "server 127.0.0.1:$short;", '', pause => 0.3);
is(distinct(@got), 3, 'one that the server has closed is not used');

# many at once, then one at a time: no more than N remain, the newest first

my $g = gateway(<<"_EOC_");
    upstream u { lb round_robin; server 127.0.0.1:$a; lb_keepalive 2; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / {
            proxy_pass http://u;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
        location /other {
            proxy_pass http://u;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
        location /bind {
            proxy_pass http://u;
            proxy_bind \$arg_from;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
_EOC_

is(load($g, '/', connections => 32, requests => 2000)->{codes}{200}, 2000,
   'under load every request is answered');

my @now = map { (split ' ', get($g, '/')->{body})[1] } 1 .. 4;
is(distinct(@now), 1, 'the connection used last is used next');

my $mine = (split ' ', get($g, '/')->{body})[1];
is((split ' ', get($g, '/other')->{body})[1], $mine,
   'a connection serves every location');

my %by = map { $_ => (split ' ', get($g, "/bind?from=$_")->{body})[1] }
         qw(127.0.0.1 127.0.0.3);
isnt($by{'127.0.0.1'}, $by{'127.0.0.3'},
     'a connection from another address is not taken');
is((split ' ', get($g, '/bind?from=127.0.0.3')->{body})[1],
   $by{'127.0.0.3'}, 'one from the same address is');

# what a connection is counts, not the place that opened it

{
    my $places = join '', map { <<"_EOC_" } 1 .. 40;
    server {
        listen 127.0.0.1:%%PORT%%;
        server_name h$_;
        location / { proxy_pass http://u; }
        location /named/ { proxy_pass http://\$arg_u; }
        location /memcached/ { set \$memcached_key a; memcached_pass u; }
    }
_EOC_

    my $g = gateway(<<"_EOC_");
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    upstream u { lb round_robin; server 127.0.0.1:$a max_fails=0; }
    $places
_EOC_

    my $at = sub { get($g, $_[0], headers => { Host => "h$_[1]" })->{body} };

    is(distinct(map { (split ' ', $at->('/', $_ % 40 + 1))[1] } 1 .. 120), 1,
       'forty places have one connection');

    my $http = (split ' ', $at->('/', 1))[1];

    is((split ' ', $at->('/named/?u=u', 2))[1], $http,
       'so has one whose upstream is a variable');

    $at->('/memcached/', 3);
    is((split ' ', $at->('/', 4))[1], $http,
       'another protocol takes a connection of its own');
    $g->quit;
}

# a request has all of its time, whatever was before

{
    my $slow = backend(name => 'slow');
    my $g = gateway(<<"_EOC_");
    upstream u { lb round_robin; @{[ $slow->server ]} }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / {
            proxy_pass http://u;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_read_timeout 600ms;
            proxy_next_upstream off;
        }
    }
_EOC_

    for (1 .. 3) {
        get($g, '/');
        sleep(0.28);
        is(get($g, '/?delay=0.4')->{code}, 200,
           'a request on a kept connection has all of proxy_read_timeout');
    }

    $g->quit;
}

# a server that is out has no idle connections, in any worker

{
    my %to = map { $_ => backend(name => $_) }
             qw(stays disabled drained deleted failed);
    my @names = sort keys %to;
    my $g = gateway(<<"_EOC_", workers => 2);
    upstream u {
        lb round_robin;
        @{[ map { $to{$_}->server } @names ]}
    }
    server {
        listen 127.0.0.1:%%PORT%%;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        location / { proxy_pass http://u; }
        location /upstreams { lb_api write=on; }
    }
_EOC_

    my $api = sub {
        my ($at, $method, $path, $state) = @_;
        my $r = request($at, $method, "/upstreams/$path",
                        $state ? (body => qq({"state":"$state"}), headers =>
                                  { 'Content-Type' => 'application/json' })
                               : ());
        like($r->{code}, qr/^20[04]$/, "$method $path " . ($state // ''));
    };
    my %id;
    @id{@names} = 1 .. @names;

    load($g, '/?delay=0.2', connections => 40, requests => 40);

    is(scalar(grep { connections($to{$_}->port) > 1 } @names), 5,
       'each server has idle connections');

    $to{failed}->kill;
    get($g, '/') for 1 .. 5;
    $api->($g, 'PATCH', "u/servers/$id{disabled}", 'disabled');
    $api->($g, 'PATCH', "u/servers/$id{drained}", 'draining');
    $api->($g, 'DELETE', "u/servers/$id{deleted}");

    for my $name (grep { $_ ne 'stays' } @names) {
        ok(wait_for(sub { connections($to{$name}->port) == 0 }),
           "a server that is $name has none left");
    }

    cmp_ok(connections($to{stays}->port), '>', 1, 'others have theirs');

    # out for less time than a worker looks away

    my $one = gateway(<<"_EOC_");
    upstream u { lb round_robin; server 127.0.0.1:$a; }
    server {
        listen 127.0.0.1:%%PORT%%;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        location / { proxy_pass http://u; }
        location /upstreams { lb_api write=on; }
    }
_EOC_

    my $before = (split ' ', get($one, '/')->{body})[1];
    is((split ' ', get($one, '/')->{body})[1], $before, 'a connection is kept');
    $api->($one, 'PATCH', 'u/servers/1', 'disabled');
    $api->($one, 'PATCH', 'u/servers/1', 'up');
    isnt((split ' ', get($one, '/')->{body})[1], $before,
         'one from before an absence is not used');
    $_->quit for $one, $g;
}

# a server that closes idle connections just as they are used again

my $flaky = gateway(<<"_EOC_");
    upstream u { lb round_robin; server 127.0.0.1:$short; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / {
            proxy_pass http://u;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
_EOC_

my $bad = 0;

for (1 .. 40) {
    $bad++ if get($flaky, '/')->{code} != 200;
    sleep(0.098 + 0.0002 * $_);
}

is($bad, 0, 'no request is lost to a connection closed at that moment');
unlike($flaky->log, qr/is down/, 'and nobody is taken for down');

# a server that says more than nginx looks for, some of it later: what is left
# would be the answer to the next request

{
    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                       Listen => 64) or die $!;

    fork_child(sub {
        $SIG{CHLD} = 'IGNORE';
        $SIG{PIPE} = 'IGNORE';

        while (my $c = $listen->accept) {
            next if fork();

            while (sysread($c, my $request, 65536)) {
                my ($first, $second) =
                    $request =~ m{^HEAD /body}
                    ? ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/",
                       '1.1 ')
                    : $request =~ m{^HEAD /hints}
                    ? ("HTTP/1.1 103 Early Hints\r\n\r\n",
                       "HTTP/1.1 404 Not Found\r\n\r\n")
                    : ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood", '');

                syswrite($c, $first);
                next if $second eq '';
                sleep(0.1);
                syswrite($c, $second);
            }
            exit;
        }
    });

    my $g = gateway(<<"_EOC_");
    upstream u { lb round_robin; server 127.0.0.1:@{[ $listen->sockport ]}; }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / {
            proxy_pass http://u;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
_EOC_

    for my $uri (qw(/body /hints)) {
        request($g, 'HEAD', $uri);
        my $r = get($g, '/');
        is("$r->{code} $r->{body}", '200 good',
           "HEAD $uri leaves nothing to the next request");
    }

    $g->quit;
}

# reload and quit do not wait for idle connections

get($g, '/');
my @old = $g->workers;
$g->reload;
is(get($g, '/')->{code}, 200, 'a reload goes on');
wait_gone(@old);
pass('workers with idle connections leave');
$g->quit;

# configuration

for (
    ['lb_keepalive -1;', 'invalid number "-1" in "lb_keepalive"'],
    ['lb_keepalive x;', 'invalid number "x" in "lb_keepalive"'],
    ['lb_keepalive 70000;', 'it must be from 0 to 65535'],
    ['lb_keepalive 1; lb_keepalive 1;', '"lb_keepalive" directive is duplicate'],
    map({ ["lb_keepalive 1 timeout=$_;",
           qq(invalid value "$_" of "timeout" in "lb_keepalive", it must be )
           . 'a time of 1ms or more'] } qw(x 0)),
    ['lb_keepalive 1 time=1h time=2h;', 'has duplicate "time" parameter'],
    ['lb_keepalive 1 requests=0;',
     'invalid value "0" of "requests" in "lb_keepalive", it must be a number '
     . 'of 1 or more'],
    ['lb_keepalive 1 color=red;', 'invalid parameter "color=red"'],
) {
    my ($lines, $error) = @$_;
    my ($code, $text) = check(<<"_EOC_");
    upstream u {
        lb round_robin; server 127.0.0.1:$a; $lines
    }
_EOC_

    isnt($code, 0, "refused: $lines");
    like($text, qr/\[emerg\].*\Q$error\E.* in \S+:\d+/, '... with the reason');
}

{
    my ($code, $text) = check(<<"_EOC_");
    upstream u { server 127.0.0.1:$a; lb_keepalive 4; }
_EOC_

    isnt($code, 0, 'lb_keepalive without lb is refused');
    like($text, qr/"lb_keepalive" without "lb" in upstream "u" in \S+:\d+/,
         '... with the reason');
}

done_testing();


# how many connections there are to a port of this machine

sub connections
{
    my $port = sprintf('%04X', $_[0]);

    open(my $fh, '<', '/proc/net/tcp') or die "/proc/net/tcp: $!";

    return scalar grep { /^\s*\d+: \S+ \w+:$port 01 / } <$fh>;
}


sub wait_gone
{
    my @pids = @_;
    my $until = time() + 10;

    while (grep { kill(0, $_) } @pids) {
        die "workers stay\n" if time() > $until;
        sleep(0.02);
    }
}
