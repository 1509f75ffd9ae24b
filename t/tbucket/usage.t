# "tbucket_usage": what a language model says that it has used is read from
# its answers as they pass, in each dialect, whatever the writes are.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Gateway::Process qw(fork_child);
use IO::Socket::INET;
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Test::More;
use Time::HiRes qw(sleep time);

my $json   = 'application/json';
my $events = 'text/event-stream; charset=utf-8';

# name => [content type, input, output, total, text]

my %answer = (
    openai => [$json, 9, 12, 21, <<'END'],
{"id":"chatcmpl-1","object":"chat.completion","choices":[{"index":0,"message":
{"role":"assistant","content":"Say \"usage\": {\"total_tokens\": 7} \\"}}],
"usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21,
"prompt_tokens_details": {"cached_tokens": 5}}, "service_tier": "default"}
END
    openai_stream => [$events, 19, 10, 29, <<'END'],
data: {"id":"1","choices":[{"index":0,"delta":{"content":"Hi {"}}],"usage":null}

data: {"id":"1","choices":[],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29}}

data: [DONE]

END
    anthropic => [$json, 2095, 503, 2598, <<'END'],
{"content":[{"text":"Hi","type":"text"},{"type":"tool_use","input":
{"usage":{"output_tokens":1}}}],"usage":{"input_tokens":2095,"output_tokens":503}}
END
    anthropic_stream => [$events, 25, 15, 40, <<'END'],
event: message_start
data: {"type":"message_start","message":{"id":"m","usage":{"input_tokens":25,"output_tokens":1}}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","delta":{"text":"{"}}

event: message_delta
data: {"type":"message_delta","delta":{},"usage":{"output_tokens": 15}}

event: message_stop
data: {"type":"message_stop"}

END
    gemini => [$json, 4, 50, 54, <<'END'],
{"candidates":[{"content":{"parts":[{"text":"x"}]}}],"usageMetadata":
{"promptTokenCount":4,"candidatesTokenCount":50,"totalTokenCount":54}}
END
    gemini_stream => [$events, 4, 9, 13, <<'END' =~ s/\n/\r\n/gr],
data: {"candidates":[],"usageMetadata":{"promptTokenCount":4,"totalTokenCount":4}}

data: {"candidates":[],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":9,"totalTokenCount":13}}

END
    large => [$json, 1, 2, 3, '{"choices":[{"message":{"content":"'
              . 'usage {\"usage\":{} ' x 150_000
              . '"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}'],
    text => ['text/plain', '', '', '',
             '{"usage":{"prompt_tokens":1,"completion_tokens":2}}'],
    none => [$json, '', '', '', '{"error":{"usage":{"total_tokens":3}}}'],
    cut  => [$events, 7, '', '',
             qq(data: {"usage":{"input_tokens":7}}\n\ndata: {"usage":{"outp)],
);

# A server that writes its answers in pieces: GET /ANSWER/SIZE

my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 128)
    or die "listen: $!\n";

sub serve
{
    $SIG{CHLD} = 'IGNORE';

    while (my $c = $listener->accept) {
        next if fork;

        setsockopt($c, IPPROTO_TCP, TCP_NODELAY, 1);
        my $head = '';
        sysread($c, $head, 4096, length $head) or exit while $head !~ /\r\n\r\n/;
        my ($name, $size, $gap) = $head =~ m{^GET /(\w+)/(\d+)(/gap)?};
        my ($type, undef, undef, undef, $text) = @{ $answer{$name} };
        my $gzip = $head =~ /accept-encoding: gzip/i
                   ? "Content-Encoding: gzip\r\n" : '';

        syswrite($c, "HTTP/1.1 200 OK\r\nContent-Type: $type\r\n"
                     . "${gzip}Connection: close\r\n\r\n");
        for (my $i = 0; $i < length $text; $i += $size) {
            syswrite($c, substr($text, $i, $size));
            sleep(1) if $gap && $i == 0;
        }
        exit;
    }
}

my $pid = fork_child(\&serve);
my $server = '127.0.0.1:' . $listener->sockport;

my $conf = <<'END';
    tbucket_zone $arg_k zone=z:1m rate=1r/h capacity=1000;
    log_format usage 'k=$arg_k $status $tbucket_usage_input,'
                     '$tbucket_usage_output,$tbucket_usage_total $tbucket_cost';
    access_log %%DIR%%/logs/usage.log usage;
    server {
        listen 127.0.0.1:%%PORT%%;
        root %%DIR%%/html;
        types { application/json json; }
        tbucket_usage on;
        proxy_set_header Accept-Encoding "";
        location / { tbucket zone=z cost=1 settle=$tbucket_usage_total;
                     proxy_pass http://%%SERVER%%; }
        location /direct/ { proxy_buffering off;
                            proxy_pass http://%%SERVER%%/; }
        location /file/ { proxy_buffers 2 4k; proxy_buffer_size 4k;
                          proxy_busy_buffers_size 4k; limit_rate 2m;
                          proxy_pass http://%%SERVER%%/; }
        location /gzip/ { gzip on; gzip_types *; gzip_min_length 1;
                          proxy_pass http://%%SERVER%%/; }
        location /off/ { tbucket_usage off; proxy_pass http://%%SERVER%%/; }
        location /compressed/ { proxy_set_header Accept-Encoding gzip;
                                proxy_pass http://%%SERVER%%/; }
        location /static/ { alias %%DIR%%/html/; sendfile on; }
        location /auth/ { auth_request /none/7; proxy_pass http://%%SERVER%%/; }
        location /subrequest/ { auth_request /openai/7; alias %%DIR%%/html/; }
        location /clients { tbucket_api zone=z; }
    }
END
$conf =~ s/%%SERVER%%/$server/g;

my $g = gateway($conf);

open(my $out, '>', $g->dir . '/html/a.json') or die "a.json: $!\n";
print $out $answer{openai}[4];
close($out);
open($out, '>', $g->dir . '/html/a.txt') or die "a.txt: $!\n";
print $out 'plain';
close($out);

my $next = 0;

sub logged
{
    my ($k) = @_;

    my $line;
    wait_for(sub {
        ($line) = Gateway::slurp($g->dir . '/logs/usage.log')
                  =~ /^k=$k (.*)$/m;
        return defined $line;
    });

    return $line;
}


sub numbers { return join ',', map { length $_ ? $_ : '-' } @_[1 .. 3] }


# What the log says of a request for the URI.

sub used
{
    my ($uri, %option) = @_;

    my $k = 'k' . $next++;
    my $r = get($g, "$uri?k=$k", timeout => 60, %option);

    return (logged($k), $r);
}


for my $name (grep { $_ !~ /^(?:large|text|none|cut)$/ } sort keys %answer) {
    my @a = @{ $answer{$name} };
    for my $size (1, 7, 65536) {
        my ($line, $r) = used("/$name/$size");
        is($line, "200 " . numbers(@a) . " $a[3]",
           "$name, in writes of $size bytes, is read and settled");
        is($r->{body}, $a[4], 'and passed on as it is');
        ($line) = used("/direct/$name/$size");
        is($line, '200 ' . numbers(@a) . ' -', 'likewise without buffering');
    }
}

my @large = @{ $answer{large} };
for my $uri ('/direct/large/65536', '/large/65536', '/large/4000',
             '/file/large/65536')
{
    $g->mark;
    my ($line, $r) = used($uri);
    like($line, qr/^200 1,2,3 /, "$uri: a long one");
    ok($r->{body} eq $large[4], 'passes as it is');
}
ok($g->wait_log(qr/buffered to a temporary file/), 'also through a file');

# what is no answer, or only part of one

is((used('/text/65536'))[0], '200 -,-,- 1', 'another type is not read');
is((used('/none/65536'))[0], '200 -,-,- 1',
   'nor an object that stands elsewhere');
is((used('/off/openai/65536'))[0], '200 -,-,- -', 'nor where it is off');
like((used('/cut/7'))[0], qr/^200 7,-,/, 'one that breaks off counts so far');
is((used('/static/a.json'))[0], '200 9,12,21 -', 'a file is read as well');
is((used('/auth/openai/7'))[0], '200 9,12,21 -', 'beside a subrequest');
is((used('/subrequest/a.txt'))[0], '200 -,-,- -', 'and not of one');

# compressed

my ($line, $r) = used('/gzip/openai/7',
                      headers => { 'Accept-Encoding' => 'gzip' });
is($line, '200 9,12,21 -', 'what nginx compresses is read before');
is($r->{headers}{'content-encoding'}, 'gzip', 'as it does');

$g->mark;
is((used('/compressed/openai/7'))[0], '200 -,-,- -',
   'what comes compressed is not read') for 1 .. 3;
is(() = $g->log =~ /\[warn\] .*proxy_set_header Accept-Encoding ""/g, 1,
   'which is said once, with what to do');

# nothing waits for what comes later

my $begin = time();
my $c = client($g);
$c->send("GET /direct/openai_stream/120/gap HTTP/1.0\r\n\r\n");
my $text = '';
$c->{sock}->blocking(1);
while ($text !~ /data:/) {
    sysread($c->{sock}, $text, 4096, length $text) or last;
}
cmp_ok(time() - $begin, '<', 0.8, 'an event is passed on before the next comes');
like($text, qr/data:/, 'as far as it is there');

is($g->quit, 0, 'nginx stops');
unlike($g->log, qr/\[(?:alert|emerg|crit)\]/, 'nothing is wrong in the log');
kill('KILL', $pid);

done_testing();
