# "after=access": a limit that is checked when nginx's access modules have had
# their say; and limits of subrequests.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Clients;
use Gateway;
use Test::More;
use Time::HiRes qw(sleep);

my $http = <<'END';
    tbucket_zone $user zone=users:1m rate=1r/h capacity=3;
    tbucket_zone $remote_user zone=basic:1m rate=1r/h capacity=2;
    tbucket_zone $arg_k zone=first:1m rate=1r/h capacity=10;
    tbucket_zone $arg_l zone=last:1m rate=1r/h capacity=2;
    tbucket_zone $uri zone=uris:1m rate=1r/h capacity=2;
    map $tbucket_zone $by_zone { first 2; default 1; }
    map $http_token $who { one alice; two bob; default ''; }

    server {
        listen 127.0.0.1:%%PORT%%;
        root %%DIR%%/html;
        tbucket_headers ietf;

        location = /auth { internal;
                           proxy_pass http://127.0.0.1:%%PORT_auth%%; }
        location /user { auth_request /auth;
                         auth_request_set $user $upstream_http_x_user;
                         tbucket zone=users after=access; }
        location /basic { auth_basic x; auth_basic_user_file %%DIR%%/users;
                          tbucket zone=basic after=access;
                          try_files /none @ok; }
        location /both { tbucket zone=first cost=2;
                         tbucket zone=last after=access settle=$arg_c;
                         add_header X-Zone "$tbucket_zone $tbucket_status" always;
                         try_files /none @ok; }
        location /dry { tbucket_dry_run on; tbucket zone=first cost=2;
                        tbucket zone=last after=access;
                        add_header X-Zone "$tbucket_zone $tbucket_status" always;
                        try_files /none @ok; }
        location /line { tbucket zone=first cost=2 dry_run;
                         tbucket zone=last after=access;
                         add_header X-Zone "$tbucket_zone $tbucket_status" always;
                         try_files /none @ok; }
        location /redirect { tbucket zone=first; error_page 404 = /late; }
        location = /late { tbucket zone=last after=access; try_files /none @ok; }
        location /known { tbucket zone=first;
                          tbucket zone=last cost=$by_zone after=access;
                          try_files /none @ok; }
        location /twice { tbucket zone=last after=access; error_page 404 = /both; }
        location @ok { add_header X-Zone "$tbucket_zone $tbucket_status" always;
                       return 204; }

        location = /page { ssi on; ssi_types *; }
        location /part/ { tbucket zone=uris; tbucket_subrequests on; }
        location /late/ { tbucket zone=uris after=access;
                          tbucket_subrequests on; }
        location /wait/ { tbucket zone=uris wait=1h; tbucket_subrequests on; }
        location /free/ { tbucket zone=uris; }
        location /guarded { auth_request /part/auth; tbucket zone=first; }
        location = /part/auth { tbucket zone=uris; tbucket_subrequests on;
                                proxy_pass http://127.0.0.1:%%PORT%%/ok; }
        location = /ok { return 204; }
        location /settled/ { tbucket zone=uris cost=0 settle=$upstream_status;
                             tbucket_subrequests on;
                             proxy_pass http://127.0.0.1:%%PORT%%/text/; }
        location /text/ { return 200 text; }

        location /clients { tbucket_api zone=first write=on; }
        location /lasts { tbucket_api zone=last write=on; }
        location /uris { tbucket_api zone=uris write=on; }
    }
END

$http .= <<'END';
    server {
        listen 127.0.0.1:%%PORT_auth%%;
        location / { add_header X-User $who always;
                     if ($who = '') { return 401; } return 204; }
    }
END

my $g = gateway($http);

sub file
{
    my ($name, $text) = @_;

    my $path = $g->dir . "/$name";
    mkdir $path =~ s{/[^/]*$}{}r;
    open(my $out, '>', $path) or die "$path: $!\n";
    print $out $text;
    close($out);
}

file('users', "alice:{PLAIN}right\n");
file('html/user', 'user');
file("html/$_/a", "$_-a;") for qw(part late free wait);
file('html/page', join '', map { qq(<!--#include virtual="$_" -->) }
     qw(/part/a /part/a /part/a /free/a /free/a /free/a));
file('html/guarded', 'guarded');


sub left
{
    my ($k, $api, $full) = @_;

    my $r = get($g, "$api?client_id=$k");

    return $r->{code} == 404 ? $full
         : sprintf('%.0f', $r->{body} =~ /"tokens":(-?[\d.]+)/ ? $1 : 'nan') + 0;
}


sub user
{
    my ($token) = @_;

    return get($g, '/user', headers => { Token => $token })->{code};
}


is(join(' ', map { user('one') } 1 .. 5), '200 200 200 429 429',
   'a key from auth_request_set limits the user');
is(user('two'), 200, 'and each by his own');
is(join(' ', map { user('bad') } 1 .. 5), '401 401 401 401 401',
   'who is not let in is not limited');
is(user('two'), 200, 'nor limits others');

sub basic
{
    my ($auth) = @_;

    require MIME::Base64;
    return get($g, '/basic', headers => {
        Authorization => 'Basic ' . MIME::Base64::encode_base64($auth, '')
    })->{code};
}

is(join(' ', map { basic('alice:wrong') } 1 .. 5), '401 401 401 401 401',
   'wrong passwords');
is(join(' ', map { basic('alice:right') } 1 .. 3), '204 204 429',
   "drain nobody's bucket");

# with limits of the access phase in the same place

get($g, '/known?k=known&l=known');
is(left('known', '/lasts', 2), 0, 'a late limit may rest on what the others say');

my $r = get($g, '/both?k=a&l=a');
is($r->{code}, 204, 'both admit');
is($r->{headers}{ratelimit}, '"last";r=1;t=3600, "first";r=8;t=28800',
   'both are told, the tightest first');
is($r->{headers}{'x-zone'}, 'last PASSED', 'which the variables are of');
get($g, '/both?k=a&l=a');
is(left('a', '/clients', 10), 6, 'both have charged');
set_tokens($g, '/clients/a', 10);
$r = get($g, '/both?k=a&l=a');
is($r->{code}, 429, 'the late one refuses');
is($r->{headers}{'x-zone'}, 'last REJECTED', 'in its own name');
is($r->{headers}{ratelimit}, '"last";r=0;t=3600, "first";r=10;t=36000',
   'with what is left in the other one');
is(left('a', '/clients', 10), 10, 'which has got back what it had charged');
get($g, '/both?k=b&l=b&c=5');
ok(wait_for(sub { left('b', '/lasts', 2) == -3 }), 'a late limit is settled');

$r = get($g, '/both?k=c');
is($r->{headers}{'x-zone'}, 'first PASSED', 'a late limit without a key');
$r = get($g, '/both?l=c');
is($r->{headers}{'x-zone'}, 'last PASSED', 'or only a late one');

get($g, '/dry?k=d&l=d') for 1 .. 2;
set_tokens($g, '/clients/d', 10);
$r = get($g, '/dry?k=d&l=d');
is("$r->{code} $r->{headers}{'x-zone'}", '204 last REJECTED_DRY_RUN',
   'in dry run it would have refused');
is(left('d', '/clients', 10), 10, 'and nothing is charged');

$r = get($g, '/line?k=e&l=e') for 1 .. 2;
is("$r->{code} $r->{headers}{'x-zone'}", '204 last PASSED', 'admitted twice');
set_tokens($g, '/lasts/e', 2);
set_tokens($g, '/clients/e', 1);
$r = get($g, '/line?k=e&l=e');
is("$r->{code} $r->{headers}{'x-zone'}", '204 first REJECTED_DRY_RUN',
   'a dry run of the first line keeps its word');
is(left('e', '/lasts', 2), 1, 'while the late one charges');

# once, whatever the redirects

get($g, '/redirect?k=f&l=f');
is(left('f', '/clients', 10), 9, 'a request that was checked');
is(left('f', '/lasts', 2), 2, 'is not checked again after a redirect');
get($g, '/twice?k=g&l=g');
is(left('g', '/lasts', 2), 1, 'nor is one that was checked late');
is(left('g', '/clients', 10), 10, 'by whatever limit');

# subrequests

$r = get($g, '/page');
is($r->{code}, 200, 'a page of parts');
is(() = $r->{body} =~ /free-a/g, 3, 'whose subrequests are not limited');
is(() = $r->{body} =~ /part-a/g, 2, 'unless they are told to be');
is(() = $r->{body} =~ /Rate limit exceeded/g, 1, 'and then are refused');
is(left('/part/a', '/uris', 2), 0, 'of which each is charged');

file('html/page', '<!--#include virtual="/late/a" -->' x 3);
$r = get($g, '/page');
is(() = $r->{body} =~ /late-a/g, 2, 'also by late limits');

is(join(' ', map { get($g, '/guarded?k=auth')->{code} } 1 .. 3), '200 200 500',
   'an auth_request that is refused');
is(left('auth', '/clients', 10), 7, 'beside the limit of the request itself');

file('html/page', '<!--#include virtual="/settled/a" -->');
get($g, '/page');
ok(wait_for(sub { left('/settled/a', '/uris', 2) == 2 - 200 }),
   'a subrequest is settled with what is known of it');

file('html/page', '<!--#include virtual="/wait/a" -->' x 3);
my $c = client($g);
$c->send("GET /page HTTP/1.1\r\nHost: a\r\n\r\n");
ok(wait_for(sub { left('/wait/a', '/uris', 2) == -1 }), 'a subrequest waits');
$c->reset;
ok(wait_for(sub { left('/wait/a', '/uris', 2) == 0 }),
   'and gives back what it has taken if the client goes');

# what is said of a key

sub warned
{
    my ($text, @more) = @_;

    my (undef, $said) = check("tbucket_zone $text server { @more }");

    return join "\n", $said =~ /\[warn\] (?:\d+#\d+: )?(.*?) in \S+$/mg;
}

my $zone = 'zone=z:1m rate=1r/s;';
is(warned("\$upstream_status $zone", 'tbucket zone=z after=access;'),
   'variable "$upstream_status" of the key is not known yet when a request '
   . 'is checked', 'a key of the response is not known after access either');
is(warned("all $zone", 'tbucket zone=z settle=$upstream_status;'), '',
   'what settles may be of the response');

my $set = 'location / { auth_request /a; auth_request_set $u $sent_http_x; %s }';
is(warned("\$u $zone", sprintf $set, 'tbucket zone=z;'),
   'variable "$u" of the key is not known yet when a request is checked, '
   . 'unless "tbucket zone=z" has "after=access"',
   'a key from auth_request_set is not known before');
is(warned("\$u $zone", sprintf $set, 'tbucket zone=z after=access;'), '',
   'and is after it');
is(warned("x $zone", sprintf $set, 'tbucket zone=z cost=$u;'),
   'variable "$u" of the cost is not known yet when a request is checked, '
   . 'unless "tbucket zone=z" has "after=access"', 'likewise a cost');
is(warned("\$m $zone map \$arg_x \$m { default 1; }",
          'set $v 1; tbucket zone=z cost=$v;'), '',
   'variables of map and set are');

is($g->quit, 0, 'nginx stops');
unlike($g->log, qr/\[(?:alert|emerg|crit)\]/, 'nothing is wrong in the log');

done_testing();
