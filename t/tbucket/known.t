# known=required: who is not registered gets 401, and 429 who tries too often.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Test::More;

my $g = gateway(<<'END', workers => 2);
    tbucket_zone $http_x_api_key zone=keys:1m rate=1r/h capacity=3
                 known=required;
    tbucket_zone $http_x_api_key fallback=$arg_addr zone=guess:1m rate=1r/h
                 capacity=3 known=required;
    tbucket_zone $arg_addr zone=other:1m rate=1r/h capacity=100;
    tbucket_zone $http_x_api_key zone=open:1m inflight=3 known=required;
    server {
        listen 127.0.0.1:%%PORT%%;
        root %%DIR%%/html;
        location / { tbucket zone=keys; try_files /none @ok; }
        location /guess { tbucket zone=guess; try_files /none @ok; }
        location /two { tbucket zone=other; tbucket zone=guess;
                        try_files /none @ok; }
        location /open { tbucket zone=open; try_files /none @ok; }
        location /dry { tbucket zone=guess; tbucket_dry_run on;
                        try_files /none @vars; }
        location /problem { tbucket zone=keys; tbucket_body problem;
                            try_files /none @ok; }
        location /any { tbucket zone=keys; satisfy any; allow all;
                        auth_basic x; auth_basic_user_file /dev/null;
                        try_files /none @ok; }
        location /page { tbucket zone=keys; error_page 401 @page;
                         try_files /none @ok; }
        location /legacy { tbucket zone=guess; tbucket_headers legacy;
                           try_files /none @ok; }
        location @page { return 200 "log in"; }
        location /cost { tbucket zone=keys; error_page 401 =200 @cost;
                         try_files /none @ok; }
        location /charged { tbucket zone=guess; error_page 401 =200 @cost;
                            try_files /none @ok; }
        location @cost { return 200 "$tbucket_cost"; }
        location @ok { return 204; }
        location @vars { return 200 "$tbucket_status $tbucket_limit"; }
        location /clients/ { tbucket_api zone=keys write=on; }
        location /guessed/ { tbucket_api zone=guess write=on; }
        location /metrics { tbucket_metrics; }
    }
END

my $known = { 'X-Api-Key' => 'alice' };
my $none = { 'X-Api-Key' => 'made-up' };


sub ask
{
    my ($uri, $headers, $code, $title) = @_;
    my $r = get($g, $uri, headers => $headers // {});

    is($r->{code}, $code, $title);

    return $r;
}


for ('/clients', '/guessed') {
    is(request($g, 'PUT', "$_/alice", body => '{"capacity":5,"rate_per_sec":1}',
               headers => { 'Content-Type' => 'application/json' })->{code},
       201, 'a client is registered');
}

my $r = ask('/', $known, 204, 'who is registered is admitted');
is($r->{headers}{'ratelimit-policy'}, '"keys";q=5;w=5', 'by its own limits');
ok(!$r->{headers}{'www-authenticate'}, 'and not asked for a key');

for ([$none, 'a made-up key'], [undef, 'no key'],
     [{ 'X-Api-Key' => '' }, 'an empty key'])
{
    my ($headers, $what) = @$_;

    $r = ask('/', $headers, 401, "$what: 401");
    is($r->{headers}{'www-authenticate'}, 'ApiKey', "$what: the scheme");
    is($r->{headers}{'content-type'}, 'application/json', "$what: JSON");
    is($r->{body}, '{"code":401,"message":"Client is not registered"}',
       "$what: the body");
    is(join(' ', grep { exists $r->{headers}{$_} }
                 qw(retry-after ratelimit ratelimit-policy)), '',
       "$what: no limits are told");
}

ask('/', $none, 401, 'guessing without a fallback goes on for ever') for 1 .. 5;
like($g->log, qr/\[warn\] .*rejected by zone "keys", client hash [0-9a-f]{16}, not registered/,
     'it is logged, without the key');

$r = ask('/problem', $none, 401, 'as a problem');
is($r->{headers}{'content-type'}, 'application/problem+json', 'of that type');
is($r->{body}, '{"type":"about:blank","title":"Client is not registered",'
               . '"status":401}', 'and form');
ask('/any', $none, 401, 'others who are satisfied do not overrule it');
is(ask('/page', $none, 401, 'an error page wins')->{body}, 'log in',
   'over the body');
is(ask('/cost', $none, 200, 'refused as well')->{body}, 0,
   'nobody is charged without a fallback');
is(ask('/charged?addr=10.0.0.9', $none, 200, 'and here')->{body}, 1,
   'with one it is');
$r = ask('/', { %$none, 'Content-Type' => 'application/grpc' }, 200, 'gRPC');
is($r->{headers}{'grpc-status'}, 16, 'is told that it is not authenticated');
is(request($g, 'HEAD', '/', headers => $none)->{body} // '', '',
   'HEAD has no body');

# with a fallback

for (2, 1, 0) {
    $r = ask('/guess?addr=10.0.0.1', $none, 401, 'a guess');
    like($r->{headers}{ratelimit}, qr/^"guess";r=$_$/, "leaves $_");
    is($r->{headers}{'www-authenticate'}, 'ApiKey', 'and asks for a key');
}

$r = ask('/guess?addr=10.0.0.1', { 'X-Api-Key' => 'another' }, 429,
         'one guess too many');
like($r->{headers}{'retry-after'}, qr/^3(?:600|59\d)$/, 'is told when');
ok(!$r->{headers}{'www-authenticate'}, 'and not asked for a key');
ask('/guess?addr=10.0.0.2', $none, 401, 'another address may guess');
ask('/guess?addr=10.0.0.1', $known, 204, 'who is registered is admitted');
ask('/guess', $none, 401, 'without a fallback value it is 401');
is(ask('/legacy?addr=10.0.0.3', $none, 401, 'legacy')
   ->{headers}{'x-ratelimit-remaining'}, 2, 'headers');

# all or nothing

$r = ask('/two?addr=10.0.0.4', $none, 401, 'with another limit');
is($r->{headers}{'ratelimit-policy'}, '"guess";q=3;w=10800',
   'the guess alone is charged');
$r = ask('/two?addr=10.0.0.4', $known, 204, 'who is registered');
like($r->{headers}{ratelimit}, qr/"other";r=99;/, 'is charged to both');

ask('/open', $none, 401, 'requests in flight of somebody unknown');

is(ask('/dry?addr=10.0.0.5', $none, 200, 'a dry run refuses nobody')->{body},
   'REJECTED_DRY_RUN 3', 'and says what it would do');

my $metrics = get($g, '/metrics')->{body};
like($metrics, qr/zone="guess",result="rejected"\} 9\n/, 'refusals are counted');
like($metrics, qr/zone="guess",result="dry_run"\} 1\n/, 'and dry runs');
like($metrics, qr/zone="other",result="rejected"\} 0\n/,
     'by those who refused');
like($metrics, qr/^tbucket_inflight\{zone="open"\} 0$/m, 'no place is held');

# who falls back to somebody who is registered is not that client

is(request($g, 'PUT', '/guessed/office',
           body => '{"capacity":50,"rate_per_sec":1}',
           headers => { 'Content-Type' => 'application/json' })->{code},
   201, 'an address is registered');

for my $uri ('/guess', '/two') {
    ask("$uri?addr=office", $none, 401, "made-up key of it, $uri")
        for 1 .. 3;
    ask("$uri?addr=office", $known, 204, "known key of it, $uri");
}

is($g->quit, 0, 'nginx stops');
unlike($g->log, qr/\[alert\]/, 'without complaints');

done_testing();
