# lb_sticky: clients stay with their servers while these are up or draining,
# over reloads, restarts and edits, and get to know another one otherwise.

use v5.28;
use warnings;

use Digest::MD5 qw(md5_hex);
use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use JSON::PP;
use Test::More;

my @names = qw(a b c d);
my %b = map { $_ => backend(name => $_) } @names;

sub config
{
    my ($sticky, %o) = @_;

    my $servers = join ' ', map { $b{$_}->server('max_fails=0') }
        @{ $o{servers} // \@names };
    my $more = $o{more} // '';

    return <<"END";
upstream u { lb round_robin; lb_sticky $sticky; lb_state %%DIR%%/state/u.json;
             $servers }
server { listen 127.0.0.1:%%PORT%%;
         location / { proxy_pass http://u; $more }
         location /upstreams { lb_api write=on; } }
END
}


# the server that answers, and the id in the cookie that is set

sub ask
{
    my ($g, $cookie, $uri) = @_;

    my $r = get($g, $uri // '/',
                headers => { defined $cookie ? (Cookie => $cookie) : () });
    my ($sid) = ($r->{headers}{'set-cookie'} // '') =~ /^srv=(\w+)/;

    return (($r->{body} // '') =~ /"backend":"(\w+)"/ ? $1 : $r->{code},
            $sid, $r);
}


sub change
{
    my ($g, $name, $state) = @_;

    my ($address) = $b{$name}->server =~ /server ([^ ;]+)/;
    my ($s) = grep { $_->{address} eq $address }
        @{ decode_json(get($g, '/upstreams/u')->{body})->{servers} };

    return request($g, 'PATCH', "/upstreams/u/servers/$s->{id}",
                   headers => { 'Content-Type' => 'application/json' },
                   body => encode_json({ state => $state }))->{code} == 200;
}


subtest 'cookie: a client stays where it was sent first' => sub {
    my $g = gateway(config('cookie srv expires=1h domain=.example.com path=/ '
                           . 'httponly secure samesite=lax'), workers => 2);

    my ($name, $sid, $r) = ask($g);

    like($r->{headers}{'set-cookie'},
         qr/^srv=[0-9a-f]{32};[ ]expires=\w{3},[ ]\d\d-\w{3}-\d\d[ ]
            [\d:]{8}[ ]GMT;[ ]max-age=3600;[ ]domain=\.example\.com;[ ]
            path=\/;[ ]httponly;[ ]secure;[ ]samesite=lax$/x,
         'the cookie as it was asked for');

    my ($address) = $b{$name}->server =~ /server ([^ ;]+)/;
    is($sid, md5_hex($address), 'its value is the MD5 of the address');

    my %sid;
    for (1 .. 8) {
        my ($n, $s) = ask($g);
        $sid{$n} = $s;
    }
    is(join('', sort keys %sid), 'abcd', 'new clients go to all servers');

    my $stay = sub {
        my ($what) = @_;
        my @moved;

        for my $n (sort keys %sid) {
            for (1 .. 5) {
                my ($to, $new) = ask($g, "x=1; srv=$sid{$n}; y=2");
                push @moved, "$n to $to" if $to ne $n || defined $new;
            }
        }

        is("@moved", '', "no client moves, and none gets a cookie: $what");
    };

    $stay->('at first');
    $g->reload;
    $stay->('after a reload');
    ok(change($g, 'b', 'draining'), 'one server drains');
    $stay->('also from one that drains');

    my ($others) = join '', map { (ask($g))[0] } 1 .. 6;
    unlike($others, qr/b/, 'which gets no new clients');

    ok(change($g, 'b', 'up'), 'it is back');
    $g->quit;
    $g->start;
    $stay->('after a restart');

    for my $forged ('0' x 32, 'x' x 400, '..%2f', md5_hex('127.0.0.1:1')) {
        my (undef, $new) = ask($g, "srv=$forged");
        ok(defined $new, 'who brings a wrong one is a new client');
    }

    ok(change($g, 'c', 'disabled'), 'one server is out');

    my ($to, $new) = ask($g, "srv=$sid{c}");
    isnt($to, 'c', 'its client gets another one');
    is($new, $sid{$to}, 'and the cookie of that');
    is_deeply([ask($g, "srv=$new")]->[0], $to, 'where it stays');
};


subtest 'cookie: one of a name, also after an internal redirect' => sub {
    my $servers = join ' ', map { $b{$_}->server } @names;
    my $g = gateway(<<"END");
upstream u { lb round_robin; lb_sticky cookie srv; $servers }
server { listen 127.0.0.1:%%PORT%%;
         proxy_intercept_errors on;
         error_page 500 = /again;
         location / { proxy_pass http://u; }
         location = /again { set \$args "";
                             proxy_pass http://u; } }
END

    for (1 .. 4) {
        my $r = get($g, '/?status=500');
        my @sid = $r->{headers}{'set-cookie'} =~ /srv=(\w+)/g;
        is(scalar(@sid), 1, 'there is one cookie');
        my ($name) = $r->{body} =~ /"backend":"(\w)"/;
        is((ask($g, "srv=$sid[0]"))[0], $name, 'of who has answered');
    }
};


subtest 'cookie: a server that fails has no clients' => sub {
    my $dead = 'server 127.0.0.1:' . free_port() . ' max_fails=0;';
    my ($address) = $dead =~ /server ([^ ;]+)/;

    my $g = gateway(<<"END");
upstream u { lb round_robin; lb_sticky cookie srv; $dead ${\$b{a}->server} }
upstream n { lb round_robin; lb_sticky cookie srv; $dead }
server { listen 127.0.0.1:%%PORT%%;
         location / { proxy_pass http://u; }
         location /n { proxy_pass http://n; } }
END

    for (1 .. 4) {
        my ($name, $sid) = ask($g, 'srv=' . md5_hex($address));
        is($name, 'a', 'the next one answers');
        is($sid, md5_hex($b{a}->server =~ /server ([^ ;]+)/),
           'and the cookie is that of it');
    }

    my (undef, $sid, $r) = ask($g, undef, '/n');
    is($r->{code}, 502, 'nobody answers');
    is($r->{headers}{'set-cookie'}, undef, 'and there is no cookie');
};


subtest 'route: the first value that is there' => sub {
    my $g = gateway(config('route $arg_r $cookie_r'), workers => 2);
    my %sid = map { $_ => md5_hex($b{$_}->server =~ /server ([^ ;]+)/) }
        @names;

    for my $n (@names) {
        my @to = map { (ask($g, undef, "/?r=$sid{$n}"))[0] } 1 .. 3;
        is("@to", "$n $n $n", "by the argument to $n");

        @to = map { (ask($g, "r=$sid{$n}"))[0] } 1 .. 3;
        is("@to", "$n $n $n", "by the cookie to $n");
    }

    my ($to, undef, $r) = ask($g, "r=$sid{a}", "/?r=$sid{b}");
    is($to, 'b', 'the first one counts');
    is($r->{headers}{'set-cookie'}, undef, 'no cookie of ours');

    my %n = map { (ask($g, undef, '/?r=none'))[0] => 1 } 1 .. 8;
    is(join('', sort keys %n), 'abcd', 'others go to all');
};


subtest 'learn: a session stays where it began' => sub {
    my $n = 0;
    my $begin = sub {
        my ($name) = @_;
        return sub {
            my ($r) = @_;
            my $new = $r->{uri} =~ /login/ ? "$name" . $n++ : undef;
            return { body => qq("backend":"$name"),
                     $new ? (headers => { 'Set-Cookie' => "app=$new; path=/" })
                     : () };
        };
    };
    my %s = map { $_ => backend(name => $_, answer => $begin->($_)) } @names;
    my $servers = join ' ', map { $s{$_}->server } @names;
    my $conf = <<"END";
upstream u { lb round_robin;
             lb_sticky learn create=\$upstream_cookie_app lookup=\$cookie_app
                       timeout=60s;
             $servers }
server { listen 127.0.0.1:%%PORT%%;
         location / { proxy_pass http://u; }
         location /upstreams { lb_api write=on; } }
END
    my $g = gateway($conf, workers => 2);

    my %session;
    for (1 .. 12) {
        my ($name, undef, $r) = ask($g, undef, '/login');
        my ($app) = $r->{headers}{'set-cookie'} =~ /^app=(\w+)/;
        $session{$app} = $name;
    }

    my $moved = sub {
        return join ' ', grep { (ask($g, "app=$_"))[0] ne $session{$_} }
            sort keys %session;
    };

    is($moved->(), '', 'no session moves');
    $g->reload;
    is($moved->(), '', 'nor over a reload');

    for my $size ('2m', '64k') {
        $g->reload($conf =~ s/timeout=/size=$size timeout=/r);
        is($moved->(), '', "nor as the zone becomes one of $size");
    }

    my %to = map { (ask($g, 'app=unknown'))[0] => 1 } 1 .. 8;
    is(join('', sort keys %to), 'abcd', 'one that is not known is new');

    $s{a}->kill;
    my ($gone) = grep { $session{$_} eq 'a' } sort keys %session;
    my ($to) = ask($g, "app=$gone");
    isnt($to, 'a', 'with its server dead it gets another one');
    is(join('', map { (ask($g, "app=$gone"))[0] } 1 .. 4), $to x 4,
       'and stays there');
};


done_testing();
