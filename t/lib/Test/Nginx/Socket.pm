package Test::Nginx::Socket;

# Stands in for Test::Nginx from CPAN, which Debian does not package: the
# sections and functions that our suites use, with the meaning they have
# there, on Debian's Test::Base and on Gateway.  "make test" puts this
# directory on Perl's path only where the real Test::Nginx is not installed.

use v5.28;
use warnings;

use Test::Base -base;

use File::Path qw(make_path remove_tree);
use Gateway ();
use Gateway::Client qw(client);
use Gateway::Process qw(alive spawn time_factor wait_exit wait_for);
use List::Util qw(shuffle);
use Test::Nginx::Request ();
use Time::HiRes ();

our $VERSION = '0.33';

our @EXPORT = qw(
    add_block_preprocessor log_level no_long_string no_root_location
    no_shuffle plan repeat_each run_tests
);

# Sections of the real one that a test cannot have here: better to stop than
# to pass without having looked.

my @UNSUPPORTED = qw(
    abort curl error_code_like error_log_file http09 http2 http3 init
    init_by_lua log_level no_shutdown_error_log post_main_config
    post_setup_server_root reload_fails request_eval response_body_eval
    response_body_filters response_body_json_sort server_addr_for_client
    server_name shutdown shutdown_error_log skip_eval skip_nginx2 skip_openssl
    stap stap_out tcp_listen tcp_query tcp_reply timeout todo todo_nginx
    udp_listen udp_query udp_reply
);

use constant HOST => 'localhost';

my $RepeatEach   = 1;
my $NoShuffle    = 0;
my $RootLocation = 1;

my @preprocessors;

my $nginx = Gateway->new('', master => 0, log_level => 'debug',
                         events => 'accept_mutex off;', connections => 64);

$ENV{TEST_NGINX_SERVER_PORT} = $nginx->port;
$ENV{TEST_NGINX_SERVER_ROOT} = $nginx->dir;

sub repeat_each(@)     { $RepeatEach = shift if @_; $RepeatEach }
sub no_shuffle()       { $NoShuffle = 1 }
sub no_root_location() { $RootLocation = 0 }
sub no_long_string()   { }
sub log_level(@)       { $nginx->{log_level} = shift }

sub add_block_preprocessor(&) { unshift @preprocessors, shift }


sub bail_out
{
    Test::More::BAIL_OUT("@_");
}


sub run_tests()
{
    my @blocks = Test::Base::blocks();

    for my $block ($NoShuffle ? @blocks : shuffle(@blocks)) {
        $_->($block) for @preprocessors;
        $block->set_value('name', "$0 " . $block->name);

        for my $section (@UNSUPPORTED) {
            bail_out($block->name . " - section $section is only in the "
                     . 'real Test::Nginx')
                if defined $block->$section;
        }

        run_block($block);
    }

    $nginx->quit;
}


sub run_block
{
    my ($block) = @_;

    my $name = $block->name;

    if (my ($tests, $why) = skipped($block)) {
        for (1 .. $RepeatEach) {
          SKIP: { Test::More::skip("$name - $why", $tests) }
        }
        return;
    }

    if (defined $block->config || defined $block->must_die) {
        $nginx->quit;
        prepare($block);

        return must_die($block) if defined $block->must_die;

        eval { $nginx->start; 1 } or bail_out("$name - $@");

    } elsif (!$nginx->running) {
        bail_out("$name - no section config, and no nginx running");
    }

    for my $i (0 .. $RepeatEach - 1) {
        eval { run_requests($block, $i); 1 } or bail_out("$name - $@");
    }
}


# (number of tests, reason) when the block is not for this nginx.

sub skipped
{
    my ($block) = @_;

    my $spec = $block->skip_nginx // return;
    my ($tests, $op, $wanted, $why) = $spec =~
        m{^\s*(\d+)\s*:\s*([<>]=?)\s*(\d+\.\d+\.\d+)\s*(?::\s*(.*))?$}
        or bail_out($block->name . " - invalid skip_nginx: $spec");

    my $cmp = Gateway::version() cmp pack('U3', split(/\./, $wanted));
    my $is  = $op eq '<' ? $cmp < 0 : $op eq '<=' ? $cmp <= 0
            : $op eq '>' ? $cmp > 0 : $cmp >= 0;

    return $is ? ($tests, $why || "nginx version $op $wanted") : ();
}


# $TEST_NGINX_NAME stands for the environment variable of that name, and
# $ServerPort for the port.

sub expand
{
    my ($text) = @_;

    return $text if !defined $text || ref $text;

    my $port = $nginx->port;

    return $text =~ s{\$(TEST_NGINX_[_A-Z0-9]+)}{
        $1 =~ /^TEST_NGINX_RAND_PORT_(\d+)$/ ? $nginx->port("rand_$1")
            : $ENV{$1} // die "no environment variable $1\n";
    }egr =~ s/\$ServerPort\b/$port/gr;
}


# The files and the configuration of a block.

sub prepare
{
    my ($block) = @_;

    my $dir = $nginx->dir;
    remove_tree(glob("$dir/html/* $dir/logs/*"));
    $nginx->{position} = 0;

    my @files = ['index.html', '<html><head><title>It works!</title></head>'
                               . '<body>It works!</body></html>'];

    for my $line (split /^/, $block->user_files // '') {
        if ($line =~ /^>>> (\S+)(?:\s+(.+))?/) {
            push @files, [$1, '', $2];
        } else {
            $files[-1][1] .= $line;
        }
    }

    write_file(@$_) for @files;

    my ($main, $http, $server) = map { expand($block->$_) // '' }
                                 qw(main_config http_config config);
    my $locate = $RootLocation
        ? 'location / { root html; index index.html index.htm; }' : '';

    $nginx->{main} = $main;
    $nginx->write(<<~END);
        default_type text/plain;
        keepalive_timeout 68000ms;
        $http
        server {
            listen %%PORT%%;
            server_name @{[ HOST ]};
            client_max_body_size 30M;
            $server
            $locate
        }
        END
}


sub write_file
{
    my ($name, $text, $date) = @_;

    my $path = $nginx->dir . "/html/$name";
    make_path($path =~ s{/[^/]*$}{}r);

    open(my $out, '>:raw', $path) or die "cannot write $path: $!\n";
    print $out expand($text);
    close($out) or die "cannot write $path: $!\n";

    if (defined $date) {
        local $ENV{TZ} = 'GMT';
        system('touch', '-t', $date, $path) == 0
            or die "cannot set the time of $path\n";
    }
}


sub must_die
{
    my ($block) = @_;

    my $name = $block->name;

    for my $i (0 .. $RepeatEach - 1) {
        my $pid = spawn($nginx->dir . '/logs/stderr', $nginx->command);
        wait_for(sub { !alive($pid) || $nginx->listening }, 60);

        my $lived  = alive($pid) && kill('TERM', $pid);
        my $status = wait_exit($pid) // 9;

        Test::More::ok(!$lived && $status >> 8, "$name - die as expected");
        check_logs($block, $i);
    }
}


sub run_requests
{
    my ($block, $repeated) = @_;

    my @requests = Test::Nginx::Request::requests($block, HOST);
    die "request empty\n" if !@requests;

    my $pipelined = $block->pipelined_requests;
    my $responses = $pipelined ? @$pipelined : 1;
    my $several   = $responses * @requests > 1;
    my $n         = 0;

    for my $request (@requests) {
        my @got = exchange($block, $request, $responses);

        for my $i (0 .. $responses - 1) {
            check_response($block, $got[$i], $n++, $repeated, $several)
                if !defined $block->ignore_response;

            Time::HiRes::sleep($block->wait) if $block->wait;
            check_logs($block, $repeated);
        }
    }
}


# Sends the packets and takes the responses.  nginx closes the connection when
# it has logged what there was to log.

sub exchange
{
    my ($block, $packets, $responses) = @_;

    my $method  = $packets->[0] =~ /^\s*(\S+)/ ? $1 : 'GET';
    my @options = (method => $method, timeout => 10 * time_factor());
    my $c       = client($nginx);
    my $delay   = $block->raw_request_middle_delay;

    for my $packet (@$packets) {
        $c->send($packet);
        Time::HiRes::sleep($delay) if $delay;
    }

    my @got = map { scalar $c->response(@options) } 1 .. $responses;
    $c->response(@options) if grep { defined } @got;
    $c->close;

    return @got;
}


# What is expected of the n-th response: with several, sections are arrays.

sub nth
{
    my ($block, $section, $n, $several) = @_;

    my $value = $block->$section;

    return $value->[$n] if ref $value eq 'ARRAY';

    die "You asked for many requests, the expected results should be arrays "
        . "as well ($section)\n" if $several && defined $value;

    return $value;
}


sub check_response
{
    my ($block, $res, $n, $repeated, $several) = @_;

    my $name = $block->name;
    my $want = sub { nth($block, $_[0], $n, $several) };

    $res //= { code => '', head => '', headers => {}, body => '' };

    Test::More::is($res->{code}, $want->('error_code') // 200,
                   "$name - status code ok");

    if (defined(my $re = $want->('raw_response_headers_like'))) {
        Test::More::like($res->{head}, qr/$re/s,
                         "$name - raw resp headers like");
    }

    if (defined(my $re = $want->('raw_response_headers_unlike'))) {
        Test::More::unlike($res->{head}, qr/$re/s,
                           "$name - raw resp headers unlike");
    }

    check_headers($name, $res, $want);

    my $title = sub {
        return "$name - $_[0] - response is expected (repeated req "
               . "$repeated, req $n)";
    };

    if (defined(my $body = expand($want->('response_body')))) {
        is_or_like($res->{body}, $body, $title->('response_body'));

    } elsif (defined(my $re = expand($want->('response_body_like')))) {
        Test::More::like($res->{body}, qr/$re/s,
                         $title->('response_body_like'));

    } elsif (defined(my $not = expand($want->('response_body_unlike')))) {
        Test::More::unlike($res->{body}, qr/$not/s,
                           $title->('response_body_unlike'));
    }
}


sub check_headers
{
    my ($name, $res, $want) = @_;

    my $like = !defined $want->('response_headers');
    my $text = $want->($like ? 'response_headers_like' : 'response_headers');

    for my $line (split /\n/, $text // '') {
        $line =~ s/^\s+|\s+$//g;
        next if $line eq '';

        if ($line =~ s/^!\s*//) {
            Test::More::unlike($res->{head}, qr/^\s*\Q$line\E\s*:/ms,
                               "$name - header $line not present in the raw "
                               . 'headers');
            next;
        }

        my ($key, $value) = split /\s*:\s*/, $line, 2;
        my $got = $res->{headers}{ lc $key } // '';

        if ($like) {
            Test::More::like($got, qr/^$value$/,
                             "$name - header $key like ok");
        } else {
            Test::More::is($got, expand($value), "$name - header $key ok");
        }
    }
}


sub is_or_like
{
    my ($got, $wanted, $name) = @_;

    ref $wanted ? Test::More::like($got, $wanted, $name)
                : Test::More::is($got, $wanted, $name);
}


# The lines since the last look.

sub check_logs
{
    my ($block, $repeated) = @_;

    my @error = split /^/, $nginx->log;
    $nginx->mark;

    check_grep($block, \@error, $repeated);
    check_log($block, 'error', \@error, $repeated);

    # a request is logged after its response

    my @access;
    my @wanted = patterns($block->access_log);
    Gateway::wait_for(sub {
        @access = split /^/, $nginx->access_log;
        return !grep { my $pattern = $_;
                       !grep { matches($_, $pattern) } @access } @wanted;
    }, 5);
    check_log($block, 'access', \@access, $repeated)
        if !defined $block->ignore_response;
}


sub check_grep
{
    my ($block, $lines, $repeated) = @_;

    my ($re, $out) = map { ref $_ eq 'ARRAY' ? $_->[$repeated] : $_ }
                     scalar $block->grep_error_log,
                     scalar $block->grep_error_log_out;

    return if !defined $re;

    $re = ref $re ? $re : qr/\Q$re\E/;
    my $found = join '', map { /$re/ ? "$&\n" : () } @$lines;

    is_or_like($found, expand($out),
               $block->name . " - grep_error_log_out (req $repeated)");
}


# The sections LOG_log and no_LOG_log: one test for each pattern.

sub check_log
{
    my ($block, $log, $lines, $repeated) = @_;

    my $name = $block->name;
    my ($with, $without) = ("${log}_log", "no_${log}_log");

    for my $pattern (patterns($block->$with)) {
        my $is = grep { matches($_, $pattern) } @$lines;
        Test::More::ok($is, "$name - pattern \"$pattern\" matches a line in "
                       . "$log.log (req $repeated)");
    }

    for my $pattern (patterns($block->$without)) {
        my ($line) = grep { matches($_, $pattern) } @$lines;
        Test::More::ok(!defined $line, "$name - pattern \"$pattern\" does "
                       . "not match a line in $log.log (req $repeated)")
            || Test::More::diag("it matches: $line");
    }
}


sub patterns
{
    my ($value) = @_;

    return ref $value eq 'ARRAY' ? grep { defined } @$value
         : ref $value            ? $value
         : defined $value        ? grep { length } split(/\n+/, $value)
         : ();
}


sub matches
{
    my ($line, $pattern) = @_;

    return ref $pattern ? $line =~ /$pattern/ : $line =~ /\Q$pattern\E/;
}


1;
