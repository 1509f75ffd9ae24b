# nginx's own "sticky", which it has since 1.29.6, in an upstream with "lb".

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::MD5 qw(md5_hex);
use Gateway;
use Test::More;

plan(skip_all => '"sticky" came with nginx 1.29.6') if version() lt v1.29.6;

my @b = map { backend(name => $_) } qw(a b c);
my %id = map { ($_->name => md5_hex($_->address)) } @b;
my $servers = join ' ', map { $_->server } @b;


sub config
{
    my ($upstream) = @_;

    return <<"END";
    upstream u { $upstream }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { proxy_pass http://u; }
        location /upstreams { lb_api write=on; }
    }
END
}


sub ask
{
    my ($g, $cookie) = @_;

    my $r = get($g, '/', headers => { $cookie ? (Cookie => "srv=$cookie")
                                              : () });
    my ($who) = $r->{body} =~ /"backend":"(\w+)"/;
    my ($set) = ($r->{headers}{'set-cookie'} // '') =~ /^srv=([^;]*)/;

    return ($who // $r->{code}, $set // '');
}


subtest 'a cookie' => sub {
    my $g = gateway(config("lb round_robin; $servers sticky cookie srv;"),
                    workers => 2);

    for my $name (qw(a b c)) {
        my ($who, $set) = ask($g);
        is($set, $id{$who}, 'a new client gets the id of its server');
    }

    for my $name (qw(a b c) x 3) {
        is((ask($g, $id{$name}))[0], $name, 'one that comes back stays');
    }

    is(scalar(grep { (ask($g, 'forged'))[0] =~ /^[abc]$/ } 1 .. 3), 3,
       'an id that nobody has is a new client');

    ok($g->reload, 'reloaded');
    is((ask($g, $id{b}))[0], 'b', 'it stays');

    $b[1]->kill;
    my ($who, $set) = ask($g, $id{b});
    like($who, qr/^[ac]$/, 'its server is gone: another one');
    is($set, $id{$who}, 'with a new cookie');
    $b[1]->start_again;
};


subtest 'routes, drain' => sub {
    my $g = gateway(config('lb least_conn; ' . $b[0]->server('route=one')
                           . $b[1]->server('route=two drain')
                           . $b[2]->server('down')
                           . ' sticky cookie srv;'));

    is((ask($g, 'two'))[0], 'b', 'a drained server keeps its clients');
    is((ask($g, 'one'))[0], 'a', 'a route is the id');
    is(join('', map { (ask($g))[0] } 1 .. 4), 'aaaa', 'others go elsewhere');
};


subtest 'what does not go together' => sub {
    my ($code, $error) = check(config("lb round_robin; $servers "
                                      . 'sticky cookie a; '
                                      . 'lb_sticky cookie b;'));
    isnt($code, 0, 'lb_sticky');
    like($error, qr/"sticky" cannot be used together with "lb_sticky"/, 'why');

    ($code, $error) = check(config("lb round_robin; lb_keepalive 8; $servers "
                                   . 'sticky cookie a;'));
    isnt($code, 0, 'lb_keepalive');
    like($error, qr/"sticky" cannot be used together with "lb_keepalive"/,
         'why');
};


done_testing();
