# docs/api.yaml tells the truth: every operation and status in it is asked
# for, and each answer is what it says.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use JSON::PP;
use JSON::Validator;
use Test::More;

my $file = "$FindBin::Bin/../../docs/api.yaml";
my $json = JSON::PP->new->utf8->canonical->boolean_values(
    JSON::PP::false, JSON::PP::true);

my $api = JSON::Validator->new->schema($file)->schema;

# it looks for responses where they are used, and only there

$api = $api->new($api->bundle({ replace => 1 })->data)->resolve;

isa_ok($api, 'JSON::Validator::Schema::OpenAPIv3');
is_deeply([map { "$_" } @{ $api->errors }], [], 'it is OpenAPI 3');

my $g = gateway(<<'END');
    tbucket_zone $arg_key zone=z:1m rate=1r/h;
    tbucket_zone $arg_key zone=full:32k rate=1r/h;
    upstream u { lb random; lb_state %%DIR%%/gone/u.json;
                 server 127.0.0.1:9; }
    upstream v { lb random; lb_zone 64k; lb_health_check interval=10ms;
                 server localhost:9; server 127.0.0.1:8; }
    server { listen 127.0.0.1:%%PORT%%;
             location / { return 404; }
             location /seen { tbucket zone=z; try_files /none =204; }
             location /upstreams { lb_api write=on; }
             location /clients { tbucket_api zone=z write=on; }
             location /plans { tbucket_api zone=z plans write=on; } }
    server { listen 127.0.0.1:%%PORT_readonly%%;
             location /upstreams { lb_api; }
             location /clients { tbucket_api zone=z; }
             location /plans { tbucket_api zone=z plans; } }
    server { listen 127.0.0.1:%%PORT_full%%;
             location /clients { tbucket_api zone=full write=on; }
             location /plans { tbucket_api zone=full plans write=on; } }
END

my $n = 0;
my $client = sub { $json->encode({ client_id => $_[0], capacity => 5,
                                   rate_per_sec => 0.5 }) };
my $limits = '{"capacity":5,"rate_per_sec":0.5}';


# Until there is no room for another one.

1 while request($g->port('full'), 'PUT', '/clients/c' . $n++,
                headers => { 'Content-Type' => 'application/json' },
                body => $limits)->{code} == 201;


1 while request($g->port('full'), 'PUT', '/plans/p' . $n++,
                headers => { 'Content-Type' => 'application/json' },
                body => $limits)->{code} == 201;


# Somebody who is refused.

request($g, 'GET', '/seen?key=refused') for 1 .. 3;

my $upstream = '/upstreams/{upstream}';
my $servers = "$upstream/servers";
my $id = "$servers/{id}";
my $server = '{"address":"127.0.0.1:7","weight":3}';

# a folder that has gone is a state file that cannot be written

unlink $g->dir . '/gone/u.json.lock';
rmdir $g->dir . '/gone' or die "gone: $!\n";


# What is asked for: operation, status, [uri, body, port, type of the body].

my @asked = (
    ['get /clients', 200, '/clients?limit=1'],
    ['get /clients', 400, '/clients?limit=0'],
    ['get /clients', 400, '/clients?cursor=x'],
    ['get /clients', 404, '/clients?hash=0000000000000001'],
    ['get /clients', 200, '/clients?top=rejected'],
    ['get /clients', 200, '/clients?top=requests&limit=1000'],
    ['get /clients', 400, '/clients?top=both'],
    ['put /plans/{plan}', 201, '/plans/gold', $limits],
    ['put /plans/{plan}', 200, '/plans/gold', $limits],
    ['put /plans/{plan}', 400, '/plans/gold', '{}'],
    ['put /plans/{plan}', 405, '/plans/gold', $limits, 'readonly'],
    ['put /plans/{plan}', 415, '/plans/gold', $limits, '', 'text/html'],
    ['put /plans/{plan}', 503, '/plans/gold', $limits, 'full'],
    ['patch /plans/{plan}', 200, '/plans/gold', '{"capacity":6}'],
    ['patch /plans/{plan}', 400, '/plans/gold', '{"capacity":0}'],
    ['patch /plans/{plan}', 404, '/plans/none', '{"capacity":6}'],
    ['patch /plans/{plan}', 405, '/plans/gold', '{}', 'readonly'],
    ['patch /plans/{plan}', 415, '/plans/gold', '{}', '', 'a/b'],
    ['get /plans', 200, '/plans'],
    ['get /plans', 400, '/plans?limit=0'],
    ['get /plans/{plan}', 200, '/plans/gold'],
    ['get /plans/{plan}', 400, '/plans/a%20b'],
    ['get /plans/{plan}', 404, '/plans/none'],
    ['put /clients/{client_id}', 201, '/clients/planned',
     '{"plan":"gold","blocked":true}'],
    ['get /clients/{client_id}', 200, '/clients/planned'],
    ['delete /plans/{plan}', 409, '/plans/gold'],
    ['delete /clients/{client_id}', 204, '/clients/planned'],
    ['delete /plans/{plan}', 400, '/plans/a%20b'],
    ['delete /plans/{plan}', 405, '/plans/gold', undef, 'readonly'],
    ['delete /plans/{plan}', 204, '/plans/gold'],
    ['delete /plans/{plan}', 404, '/plans/gold'],
    ['post /clients', 201, '/clients', $client->('user1')],
    ['post /clients', 409, '/clients', $client->('user1')],
    ['post /clients', 400, '/clients', '{}'],
    ['post /clients', 200, '/clients', '[' . $client->('user2') . ']'],
    ['post /clients', 405, '/clients', $client->('a'), 'readonly'],
    ['post /clients', 415, '/clients', $client->('a'), '', 'text/plain'],
    ['post /clients', 503, '/clients', $client->('a'), 'full'],
    ['get /clients', 200, '/clients?limit=1'],
    ['get /clients/{client_id}', 200, '/clients/user1'],
    ['get /clients/{client_id}', 404, '/clients/nobody'],
    ['get /clients/{client_id}', 400, '/clients/%ff'],
    ['get /clients/{client_id}', 200, '/clients?client_id=user2'],
    ['put /clients/{client_id}', 200, '/clients/user1', $limits],
    ['put /clients/{client_id}', 201, '/clients/user3', $limits],
    ['put /clients/{client_id}', 400, '/clients/user3', '{"capacity":1}'],
    ['put /clients/{client_id}', 405, '/clients/a', $limits, 'readonly'],
    ['put /clients/{client_id}', 415, '/clients/a', $limits, '', 'text/html'],
    ['put /clients/{client_id}', 503, '/clients/a', $limits, 'full'],
    ['patch /clients/{client_id}', 200, '/clients/user1', '{"tokens":1.5}'],
    ['patch /clients/{client_id}', 400, '/clients/user1', '{"tokens":6}'],
    ['patch /clients/{client_id}', 404, '/clients/nobody', '{"tokens":1}'],
    ['patch /clients/{client_id}', 405, '/clients/a', '{}', 'readonly'],
    ['patch /clients/{client_id}', 415, '/clients/a', '{}', '', 'a/b'],
    ['delete /clients/{client_id}', 405, '/clients/a', undef, 'readonly'],
    ['delete /clients/{client_id}', 400, '/clients/%ff'],
    ['delete /clients/{client_id}', 204, '/clients/user1'],
    ['delete /clients/{client_id}', 404, '/clients/user1'],
    ['get /upstreams', 200, '/upstreams'],
    ["get $upstream", 200, '/upstreams/v'],
    ["get $upstream", 404, '/upstreams/w'],
    ["get $servers", 200, '/upstreams/v/servers'],
    ["get $servers", 404, '/upstreams/w/servers'],
    ["post $servers", 201, '/upstreams/v/servers', $server],
    ["post $servers", 409, '/upstreams/v/servers', $server],
    ["post $servers", 400, '/upstreams/v/servers', '{}'],
    ["post $servers", 404, '/upstreams/w/servers', $server],
    ["post $servers", 405, '/upstreams/v/servers', $server, 'readonly'],
    ["post $servers", 415, '/upstreams/v/servers', $server, '', 'a/b'],
    ["post $servers", 503, '/upstreams/u/servers', $server],
    ["get $id", 200, '/upstreams/v/servers/1'],
    ["get $id", 404, '/upstreams/v/servers/99'],
    ["patch $id", 200, '/upstreams/v/servers/1', '{"weight":2}'],
    ["patch $id", 400, '/upstreams/v/servers/1', '{"weight":0}'],
    ["patch $id", 404, '/upstreams/v/servers/99', '{"weight":2}'],
    ["patch $id", 405, '/upstreams/v/servers/1', '{}', 'readonly'],
    ["patch $id", 415, '/upstreams/v/servers/1', '{}', '', 'a/b'],
    ["patch $id", 503, '/upstreams/u/servers/1', '{"weight":2}'],
    ["delete $id", 405, '/upstreams/v/servers/1', undef, 'readonly'],
    ["delete $id", 503, '/upstreams/u/servers/1'],
    ["delete $id", 204, '/upstreams/v/servers/1'],
    ["delete $id", 404, '/upstreams/v/servers/1'],
);

# Only a store that is down gives these; the tests of stores have them.

my %seen = map { $_ => 1 } ('patch /clients/{client_id} 503',
                            'delete /clients/{client_id} 503');

# a server that is being removed, in t/lb/api_live.t, and one whose name is
# resolved, in t/lb/resolve.t

$seen{"patch $id 409"} = 1;
$seen{"delete $id 409"} = 1;

for (@asked) {
    my ($operation, $status, $uri, $body, $port, $type) = @$_;
    my ($method, $path) = split / /, $operation;

    my $r = request($g->port($port || ''), uc $method, $uri,
                    defined $body
                    ? (body => $body,
                       headers => { 'Content-Type' =>
                                    $type // 'application/json' })
                    : ());

    is($r->{code}, $status, "$operation gives $status");

    my @errors = $api->validate_response(
        [$method, $path, $r->{code}],
        { header => { map { ucfirst($_) => $r->{headers}{$_} }
                      keys %{ $r->{headers} } },
          body   => sub { return { content_type => 'application/json',
                                   exists => length $r->{body} ? 1 : 0,
                                   value => length $r->{body}
                                            ? $json->decode($r->{body})
                                            : undef } } });

    is_deeply([map { "$_" } @errors], [], "$operation $status: as documented")
        or diag($r->{body});

    $seen{"$operation $status"} = 1;
}


# What is documented and was not asked for.

my @missing;

for my $path (sort keys %{ $api->get('/paths') }) {
    my $item = $api->get(['paths', $path]);

    for my $method (grep { /^(?:get|put|post|patch|delete)$/ } keys %$item) {
        push @missing, grep { !$seen{$_} }
                       map { "$method $path $_" }
                       sort keys %{ $item->{$method}{responses} };
    }
}

is_deeply(\@missing, [], 'everything that is documented was asked for');


# The check can fail.

my @errors = $api->validate_response(
    ['get', '/clients'],
    { header => {},
      body => sub { return { content_type => 'application/json', exists => 1,
                             value => { clients => [{}], next => 5 } } } });
cmp_ok(scalar @errors, '>=', 2, 'an answer that is wrong is found');

done_testing();
