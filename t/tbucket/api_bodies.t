# A thousand bodies that are no client: each gets a 4xx with a JSON error, and
# nothing is changed by any of them.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use JSON::PP;
use Test::More;

my $g = gateway(<<'END', workers => 2);
    tbucket_zone $arg_key zone=z:1m rate=1r/h;
    server {
        listen 127.0.0.1:%%PORT%%;
        client_max_body_size 2m;
        location /clients { tbucket_api zone=z write=on; }
    }
END

my $good  = '{"client_id":"user1","capacity":100,"rate_per_sec":10}';
my $other = '{"client_id":"user2","capacity":5,"rate_per_sec":0.5}';
my $type  = { 'Content-Type' => 'application/json' };

srand(7);


sub snapshot { get($g, '/clients?limit=1000')->{body} }


# What is wrong in a client, as [capacity, rate, id] in JSON.

sub bad_values
{
    my @ids = ('1', 'null', 'true', '[]', '{}', '""', '"' . 'x' x 256 . '"',
               "\"\xff\"", "\"\xc3\"", "\"\xed\xa0\x80\"", '"\u0000"',
               '"a\u0000b"', '"\ud800"', '"\ude00\ud800"', "\"a\0b\"",
               "\"a\nb\"", '"\x"', '"\u12"', '"abc', 'abc', "'a'",
               '"' . "\xe2\x82\xac" x 86 . '"');

    my @capacities = ('0', '-1', '-0', '1.5', '1e-1', '1000001', '1e7', '"5"',
                      'null', 'false', '[5]', '{"a":5}', 'NaN', 'Infinity',
                      '-Infinity', '01', '+1', '1.', '.5', '0x10', '1e',
                      '1e+', '9' x 400, '1e999999999', '9223372036854775808',
                      '18446744073709551617', '4294967297', '1_0', '5 5', '');

    my @rates = ('0', '-1', '-0', '0.000001', '1e-9', '1000000.1', '1e7',
                 '"10"', 'null', 'true', '[]', '{}', 'NaN', '1e', '01',
                 '1' x 3000, '0.' . '0' x 3000 . '1', '1e-999999999', '- 1',
                 '');

    return ((map { ['5', '5', $_] } @ids),
            (map { [$_, '5', '"u"'] } @capacities),
            (map { ['5', $_, '"u"'] } @rates));
}


sub bodies
{
    my @bodies = ('', ' ', "\0", "\xef\xbb\xbf$good", "$good$good", "$good,",
                  "$good x", "$good\0", 'null', 'true', '1', '"a"', '[1]',
                  '[[]]', '[null]', "[$good", "[$good,]", "[,$good]",
                  "[$good $good]", "$good]", "[$good,$other,1]",
                  "[[$good]]", "{\"clients\":[$good]}", '{}', '[{}]',
                  '{"client_id":"u"}', '{"capacity":5,"rate_per_sec":5}',
                  '{"client_id":"u","capacity":5}', '//' . $good,
                  "/* */$good", '{"client_id" "u"}', '{"a":1}',
                  '[' x 1000, '[' x 100_000, '{"a":' x 100_000,
                  '[' x 5 . ']' x 5,
                  '{"client_id":"' . 'x' x 1_000_000 . '"}',
                  '{"' . 'x' x 1_000_000 . '":1}',
                  '{"client_id":"u","capacity":' . '1' x 1_000_000 . '}',
                  ' ' x 1_000_000, '[' . "$good," x 20_000,
                  "[$good,$good]");

    # members: unknown, twice, other letters, too deep

    for my $more ('"tokens":1', '"registered":true', '"x":1', '"":1',
                  '"client_id":"user1"', '"client_id":"u"', '"capacity":100',
                  '"capacity":5', '"rate_per_sec":10', '"Capacity":5',
                  '"capacity ":5', '"at":1', '"\u0063apacity":5',
                  '"x":{"y":{}}', '"x":[[]]')
    {
        push @bodies, $good =~ s/\}$/,$more}/r, $good =~ s/\{/{$more,/r,
             "[$other," . $good =~ s/\}$/,$more}]/r;
    }

    for (bad_values()) {
        my ($capacity, $rate, $id) = @$_;
        my $text = "{\"client_id\":$id,\"capacity\":$capacity,"
                   . "\"rate_per_sec\":$rate}";
        push @bodies, $text, "[$other,$text]", "[$text,$other]";
    }

    # each truncation of one and of several

    push @bodies, map { substr($good, 0, $_) } 1 .. length($good) - 1;
    push @bodies, map { substr("[$good,$other]", 0, $_) }
                  1 .. length("[$good,$other]") - 1;

    # one byte changed to something that JSON has no use for there

    while (@bodies < 1000) {
        my $text = $good;
        my $at = int rand length $text;
        next if substr($text, $at, 1) =~ /[a-z0-9]/;
        substr($text, $at, 1) = chr int rand 32;
        push @bodies, $text;
    }

    return @bodies;
}


my $r = request($g, 'POST', '/clients', headers => $type, body => $good);
is($r->{code}, 201, 'a good one is taken');

my $before = snapshot();
my @bodies = bodies();
my @wrong;

cmp_ok(scalar @bodies, '>=', 1000, 'a thousand bodies');

my $json = JSON::PP->new->utf8;

for my $body (@bodies) {
    $r = request($g, 'POST', '/clients', headers => $type, body => $body);

    my $answer = eval { $json->decode($r->{body}) };

    push @wrong, substr($body, 0, 80) . " -> $r->{code} $r->{body}"
        if $r->{code} !~ /^4\d\d$/ || !$answer || $answer->{code} != $r->{code}
           || $answer->{message} !~ /\S/
           || join(' ', sort keys %$answer) ne 'code message';
}

is("@wrong", '', 'each gets a 4xx with code and message in JSON');
is(snapshot(), $before, 'and nothing was changed by them');


# the same for the bodies of PUT and PATCH, which have other members

@wrong = ();
my @small = ('', '{}', '[]', '{"capacity":1}', '{"rate_per_sec":1}', $other,
             '{"capacity":1,"rate_per_sec":1,"x":1}', '[{"capacity":1}]',
             '{"capacity":1,"rate_per_sec":1}{}',
             '{"capacity":1,"rate_per_sec":1,"tokens":[]}',
             '{"capacity":1,"rate_per_sec":1,"tokens":1,"tokens":1}',
             '{"capacity":1,"rate_per_sec":1,"client_id":""}', '{"capacity":1e9}',
             '{"tokens":-1}', '{"tokens":1000000.5}', '{"tokens":"1"}',
             '{"tokens":null}', '{"tokens":101}', '{"tokens":1,"tokens":1}');

for my $method ('PUT', 'PATCH') {
    for my $body (@small) {
        next if $method eq 'PATCH'
                && $body =~ /^\{"(?:capacity|rate_per_sec)":1\}$/;

        next if $method eq 'PATCH' && $body =~ /"tokens":1\}$/
                && $body !~ /"tokens":1,/;

        $r = request($g, $method, '/clients/user1', headers => $type,
                     body => $body);
        push @wrong, "$method $body -> $r->{code}" if $r->{code} != 400;
    }
}

is("@wrong", '', 'what PUT and PATCH do not know gets 400');
is(snapshot(), $before, 'and changes nothing');


# messages say which field, with what value, and what is allowed

my @messages = (
    ['{"client_id":"u","capacity":0,"rate_per_sec":1}',
     qr/^capacity is 0, must be .*1 to 1000000/],
    ['{"client_id":"u","capacity":"many","rate_per_sec":1}',
     qr/^capacity is "many", must be .*1 to 1000000/],
    ['{"client_id":"u","capacity":1,"rate_per_sec":2000000}',
     qr/^rate_per_sec is 2000000, must be .*1000000/],
    ['{"client_id":"u","capacity":1}', qr/^rate_per_sec is missing/],
    ['{"client_id":"u","capacity":1,"capacity":1,"rate_per_sec":1}',
     qr/^capacity is there twice/],
    ['{"client_id":"u","burst":1}', qr/^unknown member "burst", allowed: /],
    ["[$other,{\"client_id\":\"u\",\"capacity\":-5,\"rate_per_sec\":1}]",
     qr/^\[1\]: capacity is -5, must be/],
    ["$good x", qr/^not valid JSON at byte/],
);

for (@messages) {
    my ($body, $re) = @$_;

    $r = request($g, 'POST', '/clients', headers => $type, body => $body);
    like($json->decode($r->{body})->{message}, $re, "it says so: $body");
}

$r = request($g, 'PATCH', '/clients/user1', headers => $type,
             body => '{"client_id":"user1","capacity":1}');
is($r->{code}, 400, 'PATCH has the id in its path, and not in its body');
is($json->decode($r->{body})->{message},
   'unknown member "client_id", the client is named outside of the body, '
   . 'allowed: plan, capacity, rate_per_sec, blocked, unlimited, tokens',
   'which it says');


# a client that was shown is taken back

my $shown = get($g, '/clients/user1')->{body};

$r = request($g, 'PUT', '/clients/user1', headers => $type, body => $shown);
is($r->{code}, 200, 'PUT takes a client as GET has shown it');
is($r->{body}, $shown, 'which changes nothing');

$r = request($g, 'PUT', '/clients/user1', headers => $type,
             body => $shown =~ s/"tokens":[0-9.]+/"tokens":-7/r);
is("$r->{code} $r->{body}", "200 $shown", 'what is only shown is ignored');

$r = request($g, 'PUT', '/clients/a%2Fb', headers => $type, body => $shown);
is($r->{code}, 400, 'but for the id, which is that of the path');
is($json->decode($r->{body})->{message},
   'client_id is "user1", must be that of the URI, "a/b"', 'as it says');

is(() = $g->log =~ /\[(?:alert|crit|emerg|error)\]/g, 0, 'the log is quiet');

done_testing();
