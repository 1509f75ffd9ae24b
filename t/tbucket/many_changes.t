# Hundreds of changes at once, by as many connections: each is made, or refused
# for what it asks and not for the others, whatever the store.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Clients qw(api :store);
use Gateway;
use Test::More;


sub start
{
    my ($store) = @_;

    return gateway(<<"END", workers => 2);
        tbucket_zone \$arg_key zone=z:4m rate=1r/h capacity=10;
        $store
        server {
            listen 127.0.0.1:%%PORT%%;
            location / { tbucket zone=z; try_files /none =204; }
            location /clients { tbucket_api zone=z write=on; }
            location /plans { tbucket_api zone=z plans write=on; }
        }
END
}


# All requests, [method, URI, body], and how often each status came.

sub answers
{
    my ($g, @requests) = @_;

    my @c = map {
        my ($method, $uri, $body) = @$_;
        my $c = client($g);
        $c->send("$method $uri HTTP/1.1\r\nHost: a\r\n"
                 . "Content-Type: application/json\r\nContent-Length: "
                 . length($body //= '') . "\r\n\r\n$body");
        $c;
    } @requests;

    my %codes;
    $codes{$_->response->{code}}++ for @c;

    return join ' ', map { "$_:$codes{$_}" } sort keys %codes;
}


my $redis = redis();

for (['memory', ''], ['SQLite', 'tbucket_store sqlite:%%DIR%%/c.db;'],
     ['Redis', 'tbucket_store ' . $redis->url . ' timeout=5s;'])
{
    my ($name, $store) = @$_;

    subtest $name => sub {
        my $g = start($store);
        my $limits = '{"capacity":5,"rate_per_sec":1}';

        is(answers($g, map { ['PUT', "/plans/p$_", $limits] } 1 .. 1020),
           '201:1000 503:20', 'a thousand plans, and no more');
        my ($gone) = grep { api($g, 'GET', "/plans/p$_")->{code} == 404 }
                     1 .. 1020;
        like(api($g, 'PUT', "/plans/p$gone",
                 { capacity => 1, rate_per_sec => 1 })->{body},
             qr/no room for more plans.* there are 1000/, 'which is said');
        like(api($g, 'PUT', '/clients/a', { plan => "p$gone" })->{body},
             qr/no room for more plans/, 'to a client that names one, too');
        is(answers($g, map { ['PUT', "/plans/p$_", $limits] }
                       grep { $_ != $gone } 1 .. 10), '200:' . (10 - ($gone < 11)),
           'those that there are may be changed');

        is(answers($g, map { ['POST', '/clients',
               qq({"client_id":"same","capacity":$_,"rate_per_sec":1})] }
                       1 .. 200), '201:1 409:199', 'one is created once');
        is(answers($g, map { ['PATCH', '/clients/same',
               $_ % 2 ? qq({"capacity":$_}) : qq({"rate_per_sec":$_})] }
                       1 .. 300), '200:300', 'all changes of it are made');
        my $c = api($g, 'GET', '/clients/same')->{json};
        ok($c->{capacity} % 2 && !($c->{rate_per_sec} % 2),
           "of each member by itself: $c->{capacity}, $c->{rate_per_sec}");

        is(answers($g, map { ['PUT', "/clients/c$_",
               qq({"plan":"p@{[$_ == $gone ? 1021 - $gone : $_]}"})] }
                       1 .. 500), '201:500', 'clients of plans');
        like(answers($g, map { ['DELETE', "/clients/c$_"] } 1 .. 500),
             qr/^204:500$/, 'are removed');
        unlike($g->log, qr/\[(?:error|alert|crit|emerg)\]/, 'no complaints');
        is($g->quit, 0, 'a graceful stop ends');
    };
}

done_testing();
