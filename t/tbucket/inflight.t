# inflight=N: at most N requests of a client at the same time, whatever ends
# them.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Test::More;

my $b = backend(name => 'b');

my $http = <<"END";
    tbucket_zone \$arg_key zone=z:1m inflight=%s;
    tbucket_zone \$arg_key zone=rate:64k rate=1r/h capacity=3;
    upstream b { @{[ $b->server ]} keepalive 4; }
    server {
        listen 127.0.0.1:%%PORT%%;
        root %%DIR%%/html;
        tbucket zone=z;
        proxy_read_timeout 300ms;
        location / { proxy_pass http://b; }
        location /long { proxy_read_timeout 60s; proxy_pass http://b; }
        location /free { tbucket off; return 204; }
        location /moved { try_files /none \@moved; }
        location \@moved { proxy_read_timeout 60s; proxy_pass http://b; }
        location /page { error_page 404 = \@moved; try_files /none =404; }
        location /both { tbucket zone=z; tbucket zone=rate;
                         proxy_read_timeout 60s; proxy_pass http://b; }
        location /up { proxy_http_version 1.1;
                       proxy_set_header Upgrade \$http_upgrade;
                       proxy_set_header Connection upgrade;
                       proxy_read_timeout 60s; proxy_pass http://b; }
        location /none { tbucket_dry_run on; proxy_pass http://b; }
        location /metrics { tbucket off; tbucket_metrics; }
        location /clients { tbucket off; tbucket_api zone=z write=on; }
    }
END

sub http { return sprintf($http =~ s/%%/\x00/gr, $_[0]) =~ s/\x00/%%/gr }

my $g = gateway(http(2), workers => 2);


sub used
{
    my ($m) = get($g, '/metrics')->{body}
        =~ /^tbucket_inflight\{zone="z"\} (\d+)$/m;

    return $m;
}


sub used_is
{
    my ($n, $title) = @_;

    ok(wait_for(sub { used() == $n }), $title) or diag('used: ' . used());
}


# A request that is under way until the connection is closed.

sub begin
{
    my ($uri, $headers) = @_;
    my $n = () = $b->requests;

    my $c = client($g);
    $c->send("GET $uri HTTP/1.1\r\nHost: a\r\n" . ($headers // '') . "\r\n");
    wait_for(sub { (() = $b->requests) > $n }) or die 'no request';

    return $c;
}


my @c = map { begin('/long?key=a&action=hang') } 1 .. 2;
used_is(2, 'two requests are in flight');

my $r = get($g, '/?key=a');
is($r->{code}, 429, 'the third is refused');
is($r->{headers}{'retry-after'}, 1, 'for a second');
is($r->{headers}{'ratelimit-policy'}, '"z";q=2;qu="concurrent-requests"',
   'the policy counts concurrent requests and has no window');
is($r->{headers}{ratelimit}, '"z";r=0;t=1', 'nothing is left');
is($r->{body}, '{"code":429,"message":"Rate limit exceeded"}', 'as JSON');
is(get($g, '/none?key=a')->{code}, 200, 'a dry run refuses nobody');
is(get($g, '/free?key=a')->{code}, 204, 'nor does "off"');

$r = get($g, '/?key=b');
is($r->{code}, 200, 'another client is admitted');
is($r->{headers}{ratelimit}, '"z";r=1', 'it has one more, at any time');
is(get($g, '/?key=')->{code}, 200, 'an empty key is not limited');

$c[0]->reset;
used_is(1, 'a client that goes away gives its place back');
is(get($g, '/?key=a')->{code}, 200, 'to the next one');
undef @c;
used_is(0, 'and all of them');

# what ends a request

for (['answered' => ''], ['answered with an error' => '&status=500'],
     ['cut off by the backend' => '&action=mid-body&size=1000'],
     ['reset by the backend' => '&action=reset'],
     ['not answered in time' => '&action=hang'])
{
    my ($what, $how) = @$_;
    get($g, "/?key=a$how") for 1 .. 3;
    used_is(0, "a request that is $what is over");
}

my $keep = client($g);

for (1 .. 5) {
    $keep->send("GET /?key=a HTTP/1.1\r\nHost: a\r\n\r\n");
    is($keep->response->{code}, 200, "keep-alive: request $_ is admitted");
}

used_is(0, 'a connection that is kept holds no place');

$c[0] = begin('/up?key=a&status=101&size=0',
              "Upgrade: chat\r\nConnection: upgrade\r\n");
$c[0]->send('hello');
used_is(1, 'a connection that is upgraded holds its place');
undef @c;
used_is(0, 'until it is closed');
like($g->access_log, qr{/up\?\S+ HTTP/1.1" 101 }, 'upgraded it was');

$c[0] = begin('/moved?key=a&action=hang');
used_is(1, 'a request that is redirected inside has one place');
$c[1] = begin('/page?key=a&action=hang');
used_is(2, 'so has an error page');
is(get($g, '/?key=a')->{code}, 429, 'and no more are admitted');
undef @c;
used_is(0, 'they end once');

# all or nothing with another limit

$c[0] = begin('/both?key=c&action=hang');
$r = get($g, '/both?key=c');
is($r->{code}, 200, 'two limits, the second of each');
is($r->{headers}{'ratelimit-policy'},
   '"z";q=2;qu="concurrent-requests", "rate";q=3;w=10800', 'both are told');
$c[1] = begin('/both?key=c&action=hang');
is(get($g, '/both?key=c')->{code}, 429, 'both are used up');
undef $c[1];
used_is(1, 'one place is free');
$r = get($g, '/both?key=c');
is($r->{code}, 429, 'the rate still refuses');
like($r->{headers}{'retry-after'}, qr/^3[56]\d\d$/, 'until it has a token');
used_is(1, 'and no place was taken');
undef @c;
used_is(0, 'none is left');

# the API, of who is not registered

sub api
{
    my ($method, $body) = @_;

    return request($g, $method, '/clients/d', defined $body
                   ? (body    => $body,
                      headers => { 'Content-Type' => 'application/json' })
                   : ())->{code};
}

@c = map { begin('/long?key=d&action=hang') } 1 .. 2;
is(api('PATCH', '{"tokens":2}'), 400, 'places are not set');
is(get($g, '/?key=d')->{code}, 429, 'and still taken');
is(api('DELETE'), 204, 'nor does a removal give back those that are taken');
is(get($g, '/?key=d')->{code}, 429, 'which are as many as before');
used_is(2, 'and counted');
undef $c[1];
used_is(1, 'one is given back');
is(get($g, '/?key=d')->{code}, 200, 'to the next request');
undef @c;
used_is(0, 'and the other one');

# reload

@c = map { begin('/long?key=a&action=hang') } 1 .. 2;
ok($g->reload(http(3)), 'reloaded with a larger limit');
used_is(2, 'places of old workers count');
$r = get($g, '/?key=a');
is($r->{code}, 200, 'the larger limit is in force');
is($r->{headers}{ratelimit}, '"z";r=0', 'and nothing else is left');
ok($g->reload(http(1)), 'reloaded with a smaller limit');
undef $c[0];
used_is(1, 'an old worker gives a place back');
is(get($g, '/?key=a')->{code}, 429, 'the smaller limit is in force');
undef @c;
used_is(0, 'old workers end');
ok(wait_for(sub { !$g->old_workers }), 'and exit');
is(get($g, '/?key=a')->{code}, 200, 'and the client is admitted');

# reloads that change the size: old workers have the old zone

sub sized { my ($size, $n) = @_; return http($n) =~ s/zone=z:1m/zone=z:$size/r }

ok($g->reload(http(2)), 'reloaded with two places');
@c = map { begin('/long?key=a&action=hang') } 1 .. 2;
ok($g->reload(sized('2m', 2)), 'reloaded with a larger zone');
is(get($g, '/?key=a')->{code}, 429, 'places of old workers count there');
used_is(2, 'and are told');
push @c, begin('/long?key=b&action=hang');
used_is(3, 'a new one beside them');
ok($g->reload(sized('512k', 3)), 'reloaded with a smaller one');
used_is(3, 'places of all generations count');
undef $c[0];
used_is(2, 'the oldest workers give one back');
$c[0] = begin('/long?key=a&action=hang');
$r = get($g, '/?key=a');
is($r->{code}, 200, 'the larger limit is in force');
is($r->{headers}{ratelimit}, '"z";r=0', 'with one place left');
ok($g->reload(sized('512k', 2)), 'reloaded with the same size');
used_is(3, 'nothing is forgotten');
is(get($g, '/?key=a')->{code}, 429, 'both places are taken');
kill('KILL', $g->workers);
$g->wait_workers(2);
used_is(3, 'nor when those are killed that count for the old ones');
is(get($g, '/?key=a')->{code}, 429, 'who still has them');
kill('KILL', $g->old_workers);
used_is(0, 'the places of old workers that are killed come back');
is(get($g, '/?key=a')->{code}, 200, 'and the client is admitted');
undef @c;

ok($g->reload(http(1) =~ s/inflight=1/rate=1r\/h capacity=7/r),
   'the zone limits a rate');
is(get($g, '/?key=a')->{headers}{ratelimit}, '"z";r=6;t=21600',
   'which begins anew');
like($g->log, qr/zone "z" limits in another way and begins anew/, 'logged');
ok($g->reload(http(2)), 'and requests in flight again');

# workers that are killed

@c = map { begin("/long?key=$_&action=hang") } qw(a a b b c c d d);
used_is(8, 'eight requests in flight');
kill('KILL', $g->workers);
used_is(0, 'the places of killed workers come back');
is(get($g, '/?key=a')->{code}, 200, 'clients are admitted');
undef @c;

is($g->quit, 0, 'nginx stops');
unlike($g->log, qr/\[(?:alert|crit|emerg)\](?!.*exited on signal 9)/,
       'no complaints');

done_testing();
